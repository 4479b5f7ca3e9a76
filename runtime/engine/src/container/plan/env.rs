//! The environment init starts with.

use beeline_spawn::container::defaults;

use super::{Input, hostname};

/// Docker's own variables, then the container's, which replace those of the same name in place. A bare name removes
/// a variable.
pub(super) fn environment(input: Input<'_>) -> Vec<String> {
    let mut env = vec![defaults::PATH.to_owned(), format!("HOSTNAME={}", hostname(input.id, input.config))];
    if input.config.tty {
        env.push("TERM=xterm".into());
    }
    for entry in &input.config.env {
        let (key, assigns) = entry.split_once('=').map_or((entry.as_str(), false), |(key, _)| (key, true));
        let existing =
            env.iter().position(|known| known.split_once('=').is_some_and(|(known, _)| known == key));
        match (existing, assigns) {
            (Some(at), true) => entry.clone_into(&mut env[at]),
            (Some(at), false) => {
                env.remove(at);
            }
            (None, true) => env.push(entry.clone()),
            (None, false) => {}
        }
    }
    env
}
