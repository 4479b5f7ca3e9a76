use std::process::ExitCode;

use beeline_wire::network::NetworkDisconnectRequest;
use clap::Args;

use crate::client::{Client, path};
use crate::error::Outcome;

/// Flags of `beeline network disconnect`.
#[derive(Debug, Args)]
pub(crate) struct Disconnect {
    /// Also off a network that does not exist any more
    #[arg(short, long)]
    force: bool,
    /// The network's name or id
    #[arg(value_name = "NETWORK")]
    network: String,
    /// The container's name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Disconnect {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let request = NetworkDisconnectRequest { container: self.container.clone(), force: self.force };
        client.send_json(&path("/networks/{}/disconnect", &self.network), &request).await?;
        Ok(ExitCode::SUCCESS)
    }
}
