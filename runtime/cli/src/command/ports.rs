use std::process::ExitCode;

use beeline_wire::ports::{PortRule, PublishedPort};
use clap::Args;

use crate::client::Client;
use crate::error::Outcome;
use crate::output::{self, Table};
use crate::units;

/// How many sources of a list a cell shows.
const SHOWN: usize = 3;

/// Flags of `beeline ports`.
#[derive(Debug, Args)]
pub(crate) struct Ports {
    /// Show each rule with how often it decided
    #[arg(long)]
    rules: bool,
    /// Only ports of these containers
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Ports {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let mut ports: Vec<PublishedPort> = client.get("/beeline/ports").await?;
        let of_daemon: Vec<PortRule> = client.get("/beeline/rules").await?;
        ports.retain(|port| {
            let matches = |name: &String| port.container_name == *name || port.container_id.starts_with(name);
            self.containers.is_empty() || self.containers.iter().any(matches)
        });
        if self.rules {
            rules(&ports, &of_daemon)?;
        } else {
            overview(&ports, &of_daemon)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A row a port.
fn overview(ports: &[PublishedPort], of_daemon: &[PortRule]) -> anyhow::Result<()> {
    let mut table = Table::new([
        "OPEN AT",
        "TO",
        "LEADS TO",
        "CONTAINER",
        "CONNECTIONS",
        "REFUSED",
        "PACKETS",
        "TRAFFIC",
    ]);
    for port in ports {
        table.row([
            open_at(port),
            to_whom(&port.rules),
            endpoint(&port.container_ip, port.container_port, port.container_port_last),
            container(port),
            port.connections.to_string(),
            port.refused.to_string(),
            port.packets.to_string(),
            units::human_bytes(i64::try_from(port.bytes).unwrap_or(i64::MAX)),
        ]);
    }
    table.print()?;
    if !of_daemon.is_empty() {
        output::line(&format!("The daemon opens every port to {} only.", to_whom(of_daemon)))?;
    }
    Ok(())
}

/// A row a rule.
fn rules(ports: &[PublishedPort], of_daemon: &[PortRule]) -> anyhow::Result<()> {
    let mut table = Table::new(["OPEN AT", "CONTAINER", "RULE OF", "ACTION", "SOURCE", "HITS"]);
    let mut row = |open_at: String, container: String, rule: &PortRule| {
        let source = if rule.source.is_empty() { "others" } else { &rule.source };
        let hits = rule.hits.to_string();
        table.row([open_at, container, rule.scope.clone(), rule.action.clone(), source.to_owned(), hits]);
    };
    for port in ports {
        for rule in &port.rules {
            row(open_at(port), container(port), rule);
        }
    }
    for rule in of_daemon {
        row("every port".into(), String::new(), rule);
    }
    table.print()
}

fn open_at(port: &PublishedPort) -> String {
    format!("{}/{}", endpoint(&port.host_ip, port.host_port, port.host_port_last), port.protocol)
}

fn container(port: &PublishedPort) -> String {
    port.container_name.trim_start_matches('/').to_owned()
}

/// Sources in a cell: `192.0.2.0/24 but 192.0.2.9/32`. Each scope has to let a source through.
fn to_whom(rules: &[PortRule]) -> String {
    let of_scope = |scope: &str| {
        let sources = |action: &str| {
            let listed =
                |rule: &&PortRule| rule.scope == scope && rule.action == action && !rule.source.is_empty();
            let sources: Vec<&str> = rules.iter().filter(listed).map(|rule| rule.source.as_str()).collect();
            list(&sources)
        };
        match (sources("allow"), sources("deny")) {
            (None, None) => None,
            (Some(allowed), None) => Some(allowed),
            (allowed, Some(denied)) => {
                Some(format!("{} but {denied}", allowed.unwrap_or_else(|| "everybody".into())))
            }
        }
    };
    let scopes: Vec<String> = ["publish", "network", "daemon"].into_iter().filter_map(of_scope).collect();
    if scopes.is_empty() { "everybody".into() } else { scopes.join("; ") }
}

/// The first of many sources, and how many more there are.
fn list(sources: &[&str]) -> Option<String> {
    let more = sources.len().saturating_sub(SHOWN);
    let mut text = sources.get(..sources.len() - more)?.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    (!sources.is_empty()).then_some(text)
}

fn endpoint(address: &str, first: u16, last: u16) -> String {
    let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    if first == last { format!("{address}:{first}") } else { format!("{address}:{first}-{last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(scope: &str, action: &str, source: &str) -> PortRule {
        PortRule { scope: scope.into(), action: action.into(), source: source.into(), hits: 0 }
    }

    #[test]
    fn a_cell_says_who_may_come() {
        assert_eq!(to_whom(&[]), "everybody");
        let denied = rule("publish", "deny", "10.0.0.0/8");
        assert_eq!(to_whom(&[denied.clone(), rule("publish", "allow", "")]), "everybody but 10.0.0.0/8");
        let allowed = rule("network", "allow", "192.0.2.0/24");
        assert_eq!(to_whom(&[denied, allowed]), "everybody but 10.0.0.0/8; 192.0.2.0/24");
        let many: Vec<_> = (0..5).map(|at| rule("publish", "allow", &format!("10.{at}.0.0/16"))).collect();
        assert_eq!(to_whom(&many), "10.0.0.0/16, 10.1.0.0/16, 10.2.0.0/16 and 2 more");
    }
}
