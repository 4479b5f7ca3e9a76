//! `beeline network`: networks, and which containers are on them.

mod connect;
mod create;
mod disconnect;
mod inspect;
mod ls;
mod prune;
mod rm;

use clap::{Args, Subcommand};

use crate::client::Client;
use crate::error::Outcome;

/// `beeline network`.
#[derive(Debug, Args)]
pub(crate) struct Network {
    #[command(subcommand)]
    command: Command,
}

/// What can be done with networks.
#[derive(Debug, Subcommand)]
enum Command {
    /// List networks
    #[command(visible_alias = "list")]
    Ls(ls::Ls),
    /// Create a network
    Create(Box<create::Create>),
    /// Remove networks that no running container is on
    #[command(visible_alias = "remove")]
    Rm(rm::Rm),
    /// Show all that is known of networks
    Inspect(inspect::Inspect),
    /// Put a container on a network
    Connect(connect::Connect),
    /// Take a container off a network
    Disconnect(disconnect::Disconnect),
    /// Remove all networks that no running container is on
    Prune(prune::Prune),
}

impl Network {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        match self.command {
            Command::Ls(ls) => ls.run(client).await,
            Command::Create(create) => create.run(client).await,
            Command::Rm(rm) => rm.run(client).await,
            Command::Inspect(inspect) => inspect.run(client).await,
            Command::Connect(connect) => connect.run(client).await,
            Command::Disconnect(disconnect) => disconnect.run(client).await,
            Command::Prune(prune) => prune.run(client).await,
        }
    }
}
