//! What a user asks for, merged with what the image says.

use std::collections::BTreeSet;

use crate::container::config::{ContainerConfig, Healthcheck};
use crate::container::health;
use crate::error::Error;

/// An image's say in a container, in Docker's order of precedence the weaker one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ImageDefaults {
    pub(crate) user: String,
    pub(crate) env: Vec<String>,
    pub(crate) entrypoint: Option<Vec<String>>,
    pub(crate) cmd: Option<Vec<String>>,
    pub(crate) working_dir: String,
    pub(crate) exposed_ports: Vec<String>,
    pub(crate) volumes: Vec<String>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) stop_signal: String,
    pub(crate) healthcheck: Option<Healthcheck>,
}

impl ImageDefaults {
    /// Reads them from an image's configuration.
    pub(crate) fn of(image: &beeline_image::Image) -> Self {
        let healthcheck = image.docker.healthcheck.as_ref().map(|check| Healthcheck {
            test: check.test.clone().unwrap_or_default(),
            interval: check.interval,
            timeout: check.timeout,
            retries: check.retries,
            start_period: check.start_period,
            start_interval: check.start_interval,
        });
        let Some(config) = image.config.config() else { return Self { healthcheck, ..Self::default() } };
        let labels = config.labels().iter().flatten().map(|(key, value)| (key.clone(), value.clone()));
        Self {
            user: config.user().clone().unwrap_or_default(),
            env: config.env().clone().unwrap_or_default(),
            entrypoint: config.entrypoint().clone(),
            cmd: config.cmd().clone(),
            working_dir: config.working_dir().clone().unwrap_or_default(),
            exposed_ports: config.exposed_ports().clone().unwrap_or_default(),
            volumes: config.volumes().clone().unwrap_or_default(),
            labels: labels.collect(),
            stop_signal: config.stop_signal().clone().unwrap_or_default(),
            healthcheck,
        }
    }
}

/// Fills in what the user left open.
///
/// # Errors
/// Neither says what to execute.
pub(crate) fn merge(config: &mut ContainerConfig, image: ImageDefaults) -> Result<(), Error> {
    // An entry point of the user's makes the image's command meaningless. `[""]` is how clients say "none".
    let given = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if !given(&config.entrypoint) {
        if !given(&config.cmd) {
            config.cmd = image.cmd;
        }
        if config.entrypoint.is_none() {
            config.entrypoint = image.entrypoint;
        }
    }
    if config.entrypoint.as_deref() == Some(&[String::new()]) {
        config.entrypoint = None;
    }
    if !given(&config.entrypoint) && !given(&config.cmd) {
        return Err(Error::Invalid("no command specified".into()));
    }

    let known: BTreeSet<String> = config.env.iter().map(|entry| key(entry).to_owned()).collect();
    config.env.extend(image.env.into_iter().filter(|entry| !known.contains(key(entry))));
    for (name, value) in image.labels {
        config.labels.entry(name).or_insert(value);
    }
    config.exposed_ports.extend(image.exposed_ports);
    config.volumes.extend(image.volumes);
    for (ours, theirs) in [
        (&mut config.user, image.user),
        (&mut config.working_dir, image.working_dir),
        (&mut config.stop_signal, image.stop_signal),
    ] {
        if ours.is_empty() {
            *ours = theirs;
        }
    }
    health::merge(&mut config.healthcheck, image.healthcheck);
    Ok(())
}

/// What init executes: the entry point, then the command.
pub(crate) fn argv(config: &ContainerConfig) -> Vec<String> {
    config.entrypoint.iter().chain(&config.cmd).flatten().cloned().collect()
}

/// The variable's name in `KEY=value`.
fn key(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(key, _)| key)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn list(text: &str) -> Option<Vec<String>> {
        match text {
            "-" => None,
            "" => Some(Vec::new()),
            "''" => Some(vec![String::new()]),
            _ => Some(text.split(' ').map(Into::into).collect()),
        }
    }

    /// Dockerfile reference, "Understand how CMD and ENTRYPOINT interact", with the user's say added.
    #[rstest]
    #[case("-", "-", "ep", "c", "ep c")]
    #[case("-", "u", "ep", "c", "ep u")]
    #[case("x", "-", "ep", "c", "x")]
    #[case("x", "u", "ep", "c", "x u")]
    #[case("''", "u", "ep", "c", "u")]
    #[case("-", "", "ep", "c", "ep c")]
    #[case("", "-", "ep", "c", "c")]
    fn entry_point_and_command(
        #[case] entrypoint: &str,
        #[case] cmd: &str,
        #[case] image_entrypoint: &str,
        #[case] image_cmd: &str,
        #[case] expected: &str,
    ) {
        let mut config =
            ContainerConfig { entrypoint: list(entrypoint), cmd: list(cmd), ..Default::default() };
        let image =
            ImageDefaults { entrypoint: list(image_entrypoint), cmd: list(image_cmd), ..Default::default() };
        merge(&mut config, image).unwrap();
        assert_eq!(argv(&config).join(" "), expected);
    }

    #[test]
    fn the_users_variables_and_labels_win() {
        let mut config = ContainerConfig {
            cmd: list("true"),
            env: vec!["A=1".into(), "GONE".into()],
            labels: [("l".into(), "user".into())].into(),
            ..Default::default()
        };
        let image = ImageDefaults {
            env: vec!["PATH=/bin".into(), "A=2".into(), "GONE=3".into()],
            labels: vec![("l".into(), "image".into()), ("m".into(), "image".into())],
            user: "www-data".into(),
            ..Default::default()
        };
        merge(&mut config, image).unwrap();
        assert_eq!(config.env, ["A=1", "GONE", "PATH=/bin"]);
        assert_eq!(config.labels["l"], "user");
        assert_eq!(config.labels["m"], "image");
        assert_eq!(config.user, "www-data");
    }

    #[test]
    fn nothing_to_execute_is_refused() {
        let error = merge(&mut ContainerConfig::default(), ImageDefaults::default()).unwrap_err();
        assert_eq!(error.to_string(), "no command specified");
        // An entry point of the user's, although empty, hides the image's command.
        let mut config = ContainerConfig { entrypoint: list("''"), ..Default::default() };
        let image = ImageDefaults { cmd: list("c"), ..Default::default() };
        assert!(merge(&mut config, image).is_err());
    }
}
