//! The host's ps, with options of the user's.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::process::Command;

use super::Top;
use crate::error::Error;

/// Runs `ps` with these options for these processes.
pub(super) fn run(options: &str, pids: &[i32]) -> Result<Top, Error> {
    refuse_renamed_pid(options)?;
    let words: Vec<&str> = options.split_ascii_whitespace().collect();
    let numbers: Vec<String> = pids.iter().map(ToString::to_string).collect();
    let only = format!("-q{}", numbers.join(","));
    // Some options (`f`) do not go with -q: then ps lists everything, and what is another's is left out.
    let output = match ps(&words, Some(&only))? {
        Ok(output) => output,
        Err(_) => ps(&words, None)?.map_err(|reason| Error::Invalid(format!("ps: {reason}")))?,
    };
    parse(&output, &pids.iter().copied().collect())
}

/// The output, or the first line of what ps says of a failure.
fn ps(options: &[&str], only: Option<&str>) -> Result<Result<String, String>, Error> {
    let output =
        Command::new("ps").args(options).args(only).output().map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::Unavailable(
                "ps is not installed on the host, and its options need it: install procps, or leave them out"
                    .into(),
            ),
            _ => Error::internal("run ps", &error),
        })?;
    if output.status.success() {
        return Ok(Ok(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    let reason = reason.lines().find(|line| !line.trim().is_empty()).unwrap_or("it failed");
    Ok(Err(reason.trim_start_matches("error: ").to_owned()))
}

/// The column PID has to be called so: `o pid=x` would make another table of the host's processes of it.
fn refuse_renamed_pid(options: &str) -> Result<(), Error> {
    let renames =
        options.split(|character: char| character.is_ascii_whitespace() || character == ',').any(|word| {
            let name = word.split_once('=').map(|(name, _)| name.trim_start_matches(['-', 'o', 'O']));
            name == Some("pid")
        });
    if renames {
        return Err(Error::Invalid("specifying \"pid=\" is not allowed: the column PID is needed".into()));
    }
    Ok(())
}

/// The table, of which only the container's processes (and lines of their threads) are kept.
fn parse(output: &str, pids: &BTreeSet<i32>) -> Result<Top, Error> {
    let mut lines = output.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
    let Some(column) = titles.iter().position(|title| title == "PID") else {
        return Err(Error::Invalid("Couldn't find PID field in ps output".into()));
    };
    let mut processes = Vec::new();
    let mut kept_before = false;
    for line in lines {
        let mut cells: Vec<String> = line.split_ascii_whitespace().map(str::to_owned).collect();
        let Some(pid) = cells.get(column) else { continue };
        // A thread's line follows its process'.
        kept_before = if pid == "-" { kept_before } else { pid.parse().is_ok_and(|pid| pids.contains(&pid)) };
        if kept_before {
            if cells.len() > titles.len() {
                let last = cells.split_off(titles.len() - 1).join(" ");
                cells.push(last);
            }
            processes.push(cells);
        }
    }
    Ok(Top { titles, processes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_lines_and_their_threads_are_kept() {
        let output = "  PID   LWP COMMAND\n    1     - /sbin/init\n   20     - sh -c x\n    -    21 -\n   30     - y\n";
        let top = parse(output, &[20].into()).unwrap();
        assert_eq!(top.titles, ["PID", "LWP", "COMMAND"]);
        assert_eq!(top.processes, [vec!["20", "-", "sh -c x"], vec!["-", "21", "-"]]);
        assert_eq!(
            parse("UID CMD\n0 x\n", &[1].into()).unwrap_err().to_string(),
            "Couldn't find PID field in ps output"
        );
    }

    #[test]
    fn the_column_of_numbers_cannot_be_renamed() {
        for options in ["-eo pid=x", "o pid=", "-o user,pid=PID", "-opid=y"] {
            assert!(refuse_renamed_pid(options).is_err(), "{options}");
        }
        for options in ["-eo pid,comm", "aux", "-o pid,ppid=PARENT"] {
            refuse_renamed_pid(options).unwrap();
        }
    }
}
