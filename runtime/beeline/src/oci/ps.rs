//! `ps`.

use std::process::Command;

use anyhow::{Context as _, bail};
use beeline_spawn::oci::Runtime;
use clap::Args;

use super::list::Format;
use super::say;

#[derive(Debug, Args)]
pub(super) struct PsArgs {
    /// A table, or a JSON array of process ids
    #[arg(long, short = 'f', value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The container's id
    #[arg(value_name = "CONTAINER")]
    id: String,
    /// Options of ps, instead of -ef
    #[arg(value_name = "OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

pub(super) fn run(runtime: &Runtime, args: &PsArgs) -> anyhow::Result<u8> {
    let processes = runtime.processes(&args.id)?;
    if args.format == Format::Json {
        say(&serde_json::to_string(&processes)?)?;
        return Ok(0);
    }
    let default = ["-ef".to_owned()];
    let options = if args.options.is_empty() { &default[..] } else { &args.options };
    let output = Command::new("ps").args(options).output().context("run the host's ps")?;
    if !output.status.success() {
        bail!("ps {}: {}", options.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading.split_whitespace().position(|word| word == "PID");
    let column = column.context("ps was asked for no column PID")?;
    say(heading)?;
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse::<i32>().ok());
        if pid.is_some_and(|pid| processes.contains(&pid)) {
            say(line)?;
        }
    }
    Ok(0)
}
