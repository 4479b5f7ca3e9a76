//! Dockerfile instructions that change an image's configuration: `docker import --change`.

use crate::config::{Empty, Execution, Healthcheck};

/// An instruction that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid change {instruction:?}: {reason}")]
pub struct InvalidChange {
    instruction: String,
    reason: String,
}

/// What `--change` accepts.
const INSTRUCTIONS: &str =
    "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR";
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Applies one instruction.
pub(crate) fn apply(config: &mut Execution, instruction: &str) -> Result<(), InvalidChange> {
    let text = instruction.trim();
    let (name, arguments) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    change(config, &name.to_ascii_uppercase(), arguments.trim())
        .map_err(|reason| InvalidChange { instruction: instruction.to_owned(), reason })
}

fn change(config: &mut Execution, name: &str, arguments: &str) -> Result<(), String> {
    let needed =
        || if arguments.is_empty() { Err(format!("{name} needs an argument")) } else { Ok(arguments) };
    match name {
        "CMD" => config.cmd = Some(command(arguments)),
        "ENTRYPOINT" => {
            config.entrypoint = Some(command(arguments));
            // The command of before was meant for another program.
            config.cmd = None;
        }
        "ENV" => {
            for (key, value) in pairs(needed()?, name)? {
                let prefix = format!("{key}=");
                config.env.retain(|variable| !variable.starts_with(&prefix));
                config.env.push(prefix + &value);
            }
        }
        "EXPOSE" => {
            for port in words(needed()?)? {
                config.exposed_ports.extend(ports(&port)?.into_iter().map(|port| (port, Empty {})));
            }
        }
        "HEALTHCHECK" => config.docker.healthcheck = Some(healthcheck(needed()?)?),
        "LABEL" => config.labels.extend(pairs(needed()?, name)?),
        "ONBUILD" => config.docker.on_build.get_or_insert_default().push(needed()?.to_owned()),
        "STOPSIGNAL" => needed()?.clone_into(&mut config.stop_signal),
        "USER" => needed()?.clone_into(&mut config.user),
        "VOLUME" => {
            let volumes = exec_form(needed()?).map_or_else(|| words(arguments), Ok)?;
            if volumes.iter().any(String::is_empty) {
                return Err("VOLUME specified can not be an empty string".to_owned());
            }
            config.volumes.extend(volumes.into_iter().map(|volume| (volume, Empty {})));
        }
        "WORKDIR" => {
            let directory = words(needed()?)?.join(" ");
            config.working_dir = if directory.starts_with('/') {
                directory
            } else {
                format!("{}/{directory}", config.working_dir.trim_end_matches('/'))
            };
        }
        _ => return Err(format!("{name} is not one of {INSTRUCTIONS}")),
    }
    Ok(())
}

/// The exec form, `["a", "b"]`; none when the text is not in that form.
fn exec_form(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// A command in exec form, or in shell form: a line for the shell.
fn command(text: &str) -> Vec<String> {
    exec_form(text).unwrap_or_else(|| SHELL.into_iter().chain([text]).map(str::to_owned).collect())
}

/// `key=value …` with quotes, or the older `key value` with one value to the end of the line.
fn pairs(text: &str, name: &str) -> Result<Vec<(String, String)>, String> {
    let words = words(text)?;
    if !words.first().is_some_and(|word| word.contains('=')) {
        let (key, value) =
            text.split_once(char::is_whitespace).ok_or_else(|| format!("{name} must have two arguments"))?;
        return Ok(vec![(key.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some(("", _)) => Err(format!("{name} names can not be blank")),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(format!("{word:?} has no '=': {name} takes name=value")),
    };
    words.iter().map(pair).collect()
}

/// Words as a Dockerfile splits them: quotes keep spaces, a backslash keeps the next character.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some('\''), c) if c != '\'' => word.get_or_insert_default().push(c),
            (_, '\\') => {
                let next = characters.next().ok_or("the line ends with a backslash")?;
                let word = word.get_or_insert_default();
                // Within double quotes a backslash is itself unless it keeps a quote or a backslash.
                if quote.is_some() && !matches!(next, '"' | '\\' | '$') {
                    word.push('\\');
                }
                word.push(next);
            }
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

/// `80`, `80/udp` and `8000-8010/tcp`, one entry a port.
fn ports(text: &str) -> Result<Vec<String>, String> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}: want tcp, udp or sctp"));
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| format!("invalid containerPort: {text}"))
    };
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(format!("invalid port range {range}: its end is below its start"));
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn healthcheck(text: &str) -> Result<Healthcheck, String> {
    let mut check = Healthcheck::default();
    let mut rest = text;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option.split_once(char::is_whitespace).ok_or("a command is missing")?;
        let (name, value) = option.split_once('=').ok_or_else(|| format!("--{option} needs a value"))?;
        match name {
            "interval" => check.interval = duration(value)?,
            "timeout" => check.timeout = duration(value)?,
            "start-period" => check.start_period = duration(value)?,
            "start-interval" => check.start_interval = duration(value)?,
            "retries" => {
                check.retries = value.parse().map_err(|_| format!("--retries={value} is no number"))?;
            }
            _ => return Err(format!("--{name} is not an option of HEALTHCHECK")),
        }
        rest = after.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    check.test = Some(match (kind.to_ascii_uppercase().as_str(), command.trim()) {
        ("NONE", "") => vec!["NONE".to_owned()],
        ("CMD", command) if !command.is_empty() => match exec_form(command) {
            Some(words) => std::iter::once("CMD".to_owned()).chain(words).collect(),
            None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
        },
        _ => return Err("want CMD with a command, or NONE".to_owned()),
    });
    Ok(check)
}

/// Go's durations (`1m30s`, `500ms`) in nanoseconds.
fn duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("{text:?} is not a duration such as 30s or 1m30s");
    let mut total = 0_f64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let nanoseconds = match &rest[..unit] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(invalid()),
        };
        total += number * nanoseconds;
        rest = &rest[unit..];
    }
    #[expect(clippy::cast_possible_truncation, reason = "a cast saturates, and nobody waits 292 years")]
    if text.is_empty() { Err(invalid()) } else { Ok(total as i64) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn applied(changes: &[&str]) -> Execution {
        let mut config = Execution::default();
        for change in changes {
            apply(&mut config, change).unwrap();
        }
        config
    }

    fn refused(change: &str) -> String {
        apply(&mut Execution::default(), change).unwrap_err().to_string()
    }

    #[test]
    fn commands_have_an_exec_form_and_a_shell_form() {
        let config = applied(&[r#"ENTRYPOINT ["/bin/a", "b c"]"#, "CMD echo $HOME"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/a", "b c"]);
        assert_eq!(config.cmd.unwrap(), ["/bin/sh", "-c", "echo $HOME"]);
    }

    #[test]
    fn variables_are_replaced_and_keep_their_quotes_contents() {
        let config =
            applied(&["ENV A=1 B=\"two words\" C='x\\y'", "ENV A=2", "ENV OLD one two", "env D=a\\ b"]);
        assert_eq!(config.env, ["B=two words", "C=x\\y", "A=2", "OLD=one two", "D=a b"]);
    }

    #[test]
    fn ports_are_single_or_ranges() {
        let config = applied(&["EXPOSE 80 53/udp 8000-8002"]);
        let ports: Vec<&str> = config.exposed_ports.keys().map(String::as_str).collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"]);
    }

    #[test]
    fn the_rest_is_taken_as_docker_takes_it() {
        let config = applied(&[
            "WORKDIR /srv",
            "WORKDIR app",
            "USER 1000:1000",
            "LABEL a=b c=\"d e\"",
            "VOLUME [\"/data\"]",
            "VOLUME /x /y",
            "STOPSIGNAL SIGQUIT",
            "ONBUILD RUN make",
        ]);
        assert_eq!(config.working_dir, "/srv/app");
        assert_eq!(config.user, "1000:1000");
        assert_eq!(config.labels["c"], "d e");
        assert_eq!(config.volumes.keys().collect::<Vec<_>>(), ["/data", "/x", "/y"]);
        assert_eq!(config.stop_signal, "SIGQUIT");
        assert_eq!(config.docker.on_build.unwrap(), ["RUN make"]);
    }

    #[test]
    fn healthchecks_have_options() {
        let config = applied(&["HEALTHCHECK --interval=1m30s --retries=3 CMD curl localhost"]);
        let check = config.docker.healthcheck.unwrap();
        assert_eq!(check.test.unwrap(), ["CMD-SHELL", "curl localhost"]);
        assert_eq!((check.interval, check.retries), (90_000_000_000, 3));
        let none = applied(&["HEALTHCHECK NONE"]).docker.healthcheck.unwrap();
        assert_eq!(none.test.unwrap(), ["NONE"]);
    }

    #[test]
    fn refusals_name_the_instruction() {
        assert!(refused("RUN make").contains("RUN is not one of CMD"));
        assert!(refused("ENV").contains("ENV needs an argument"));
        assert!(refused("EXPOSE 70000").contains("invalid containerPort: 70000"));
        assert!(refused("EXPOSE 80/ipx").contains("invalid proto"));
        assert!(refused("ENV A=\"x").contains("not closed"));
        assert!(refused("HEALTHCHECK --interval=soon CMD x").contains("not a duration"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(ENV|EXPOSE|HEALTHCHECK|LABEL|CMD|VOLUME|WORKDIR) .{0,60}") {
            let _ = apply(&mut Execution::default(), &text);
        }
    }
}
