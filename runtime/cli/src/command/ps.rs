use std::collections::BTreeSet;
use std::process::ExitCode;

use beeline_wire::container::summary::{ContainerSummary, Port};
use clap::{Args, ValueEnum};

use super::images::short;
use crate::client::{Client, query};
use crate::error::Outcome;
use crate::filter::{self, Filter};
use crate::output::{self, Table};
use crate::units;

/// Flags of `beeline ps`.
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Also containers that do not run
    #[arg(short, long)]
    all: bool,
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Print whole ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Only containers that match, such as status=exited or name=web; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = filter::parse)]
    filter: Vec<Filter>,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// How a listing is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns
    Table,
    /// One JSON object a line
    Json,
}

impl Ps {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let filters = filter::parameter(&self.filter)?;
        let all = if self.all { "1" } else { "0" };
        let containers: Vec<ContainerSummary> =
            client.get(&query("/containers/json", &[("all", all), ("filters", &filters)])).await?;
        let id = |container: &ContainerSummary| {
            if self.no_trunc { container.id.clone() } else { short(&container.id).to_owned() }
        };
        let mut table =
            Table::new(["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
        for container in &containers {
            if self.quiet {
                output::line(&id(container))?;
            } else if self.format == Format::Json {
                output::line(&serde_json::to_string(container)?)?;
            } else {
                table.row([
                    id(container),
                    container.image.clone(),
                    command(&container.command, self.no_trunc),
                    units::ago(container.created),
                    container.status.clone(),
                    ports(&container.ports),
                    container
                        .names
                        .iter()
                        .map(|name| name.trim_start_matches('/'))
                        .collect::<Vec<_>>()
                        .join(","),
                ]);
            }
        }
        if !self.quiet && self.format == Format::Table {
            table.print()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The command in quotes, twenty characters of it unless all are asked for.
fn command(command: &str, whole: bool) -> String {
    if whole || command.chars().count() <= 20 {
        return format!("\"{command}\"");
    }
    let cut: String = command.chars().take(19).collect();
    format!("\"{cut}…\"")
}

/// Ports as Docker lists them, neighbours joined: `0.0.0.0:8000-8002->80-82/tcp, 443/tcp`.
fn ports(ports: &[Port]) -> String {
    let mut joined: Vec<(Port, u16)> = Vec::new();
    // By address and protocol first, so that neighbours come one after the other.
    let key = |port: &Port| (port.ip.clone(), port.kind.clone(), port.public_port, port.private_port);
    let sorted: BTreeSet<_> = ports.iter().map(|port| (key(port), port.clone())).collect();
    for (_, port) in sorted {
        let follows = joined.last().is_some_and(|(first, more)| {
            let next = |start: u16| start.checked_add(more + 1);
            first.ip == port.ip
                && first.kind == port.kind
                && next(first.private_port) == Some(port.private_port)
                && (if first.public_port == 0 { Some(0) } else { next(first.public_port) })
                    == Some(port.public_port)
        });
        match joined.last_mut() {
            Some((_, more)) if follows => *more += 1,
            _ => joined.push((port, 0)),
        }
    }
    let range = |first: u16, more: u16| {
        if more == 0 { first.to_string() } else { format!("{first}-{}", first + more) }
    };
    let text = |(port, more): &(Port, u16)| {
        let private = format!("{}/{}", range(port.private_port, *more), port.kind);
        if port.public_port == 0 {
            return private;
        }
        let ip = if port.ip.contains(':') { format!("[{}]", port.ip) } else { port.ip.clone() };
        format!("{ip}:{}->{private}", range(port.public_port, *more))
    };
    joined.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, public_port: u16, private_port: u16, kind: &str) -> Port {
        Port { ip: ip.into(), private_port, public_port, kind: kind.into() }
    }

    #[test]
    fn neighbouring_ports_are_joined() {
        let listed = [
            port("0.0.0.0", 8001, 81, "tcp"),
            port("0.0.0.0", 8000, 80, "tcp"),
            port("", 0, 443, "tcp"),
            port("::", 8000, 80, "tcp"),
            port("0.0.0.0", 53, 53, "udp"),
        ];
        let expected = "443/tcp, 0.0.0.0:8000-8001->80-81/tcp, 0.0.0.0:53->53/udp, [::]:8000->80/tcp";
        assert_eq!(ports(&listed), expected);
        assert_eq!(ports(&[]), "");
    }

    #[test]
    fn a_long_command_is_cut() {
        assert_eq!(command("/beeline whoami", false), "\"/beeline whoami\"");
        assert_eq!(command("/bin/sh -c 'sleep 1000'", false), "\"/bin/sh -c 'sleep 1…\"");
    }
}
