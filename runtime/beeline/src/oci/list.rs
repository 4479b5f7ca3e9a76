//! `list`.

use beeline_spawn::oci::Runtime;
use clap::{Args, ValueEnum};

use super::say;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// A table or JSON
    #[arg(long, short = 'f', value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Only ids
    #[arg(long, short = 'q')]
    quiet: bool,
}

pub(super) fn run(runtime: &Runtime, args: &ListArgs) -> anyhow::Result<u8> {
    let containers = runtime.list()?;
    if args.quiet {
        containers.iter().try_for_each(|container| say(&container.id))?;
        return Ok(0);
    }
    if args.format == Format::Json {
        say(&serde_json::to_string(&containers)?)?;
        return Ok(0);
    }
    let width = containers.iter().map(|container| container.id.len()).max().unwrap_or(0).max(2);
    say(&format!("{:width$}  {:>7}  {:8}  {:30}  BUNDLE", "ID", "PID", "STATUS", "CREATED"))?;
    for container in containers {
        let (created, status) = (container.created.to_string(), container.status.to_string());
        let (id, pid, bundle) = (&container.id, container.pid, container.bundle.display());
        say(&format!("{id:width$}  {pid:>7}  {status:8}  {created:30}  {bundle}"))?;
    }
    Ok(0)
}
