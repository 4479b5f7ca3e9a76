use std::process::ExitCode;

use beeline_wire::ports::PublishedPort;
use clap::Args;

use crate::client::Client;
use crate::error::Outcome;
use crate::output::Table;
use crate::units;

/// Flags of `beeline ports`.
#[derive(Debug, Args)]
pub(crate) struct Ports {
    /// Only ports of these containers
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Ports {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let ports: Vec<PublishedPort> = client.get("/beeline/ports").await?;
        let asked = |port: &&PublishedPort| {
            let matches = |name: &String| port.container_name == *name || port.container_id.starts_with(name);
            self.containers.is_empty() || self.containers.iter().any(matches)
        };
        let mut table = Table::new(["OPEN AT", "LEADS TO", "CONTAINER", "CONNECTIONS", "PACKETS", "TRAFFIC"]);
        for port in ports.iter().filter(asked) {
            let host = endpoint(&port.host_ip, port.host_port, port.host_port_last);
            let container = endpoint(&port.container_ip, port.container_port, port.container_port_last);
            table.row([
                format!("{host}/{}", port.protocol),
                container,
                port.container_name.trim_start_matches('/').to_owned(),
                port.connections.to_string(),
                port.packets.to_string(),
                units::human_bytes(i64::try_from(port.bytes).unwrap_or(i64::MAX)),
            ]);
        }
        table.print()?;
        Ok(ExitCode::SUCCESS)
    }
}

fn endpoint(address: &str, first: u16, last: u16) -> String {
    let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    if first == last { format!("{address}:{first}") } else { format!("{address}:{first}-{last}") }
}
