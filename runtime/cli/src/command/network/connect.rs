use std::process::ExitCode;

use beeline_wire::network::{EndpointIpamConfig, EndpointSettings, NetworkConnectRequest};
use clap::Args;

use crate::client::{Client, path};
use crate::command::run::pairs;
use crate::error::Outcome;

/// Flags of `beeline network connect`.
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// The container's IPv4 address there
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    ip: String,
    /// The container's IPv6 address there
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    ip6: String,
    /// Another name of the container there; may be repeated
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// A name for another container: CONTAINER[:NAME]; may be repeated
    #[arg(long, value_name = "LINK")]
    link: Vec<String>,
    /// The network with the greatest number has the default route [default: 0]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    gw_priority: Option<i64>,
    /// An option of the driver: NAME=VALUE; may be repeated
    #[arg(long, value_name = "OPTION")]
    driver_opt: Vec<String>,
    /// The network's name or id
    #[arg(value_name = "NETWORK")]
    network: String,
    /// The container's name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Connect {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let addresses = EndpointIpamConfig {
            ipv4_address: self.ip.clone(),
            ipv6_address: self.ip6.clone(),
            link_local_ips: None,
        };
        let settings = EndpointSettings {
            ipam_config: Some(addresses),
            aliases: Some(self.alias.clone()),
            links: Some(self.link.clone()),
            gw_priority: self.gw_priority,
            driver_opts: Some(pairs(&self.driver_opt)),
            ..EndpointSettings::default()
        };
        let request =
            NetworkConnectRequest { container: self.container.clone(), endpoint_config: Some(settings) };
        client.send_json(&path("/networks/{}/connect", &self.network), &request).await?;
        Ok(ExitCode::SUCCESS)
    }
}
