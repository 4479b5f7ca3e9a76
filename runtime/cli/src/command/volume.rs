//! `beeline volume`: directories and file systems that outlive containers.

mod create;
mod inspect;
mod ls;
mod prune;
mod rm;

use clap::{Args, Subcommand};

use crate::client::Client;
use crate::error::Outcome;

/// `beeline volume`.
#[derive(Debug, Args)]
pub(crate) struct Volume {
    #[command(subcommand)]
    command: Command,
}

/// What can be done with volumes.
#[derive(Debug, Subcommand)]
enum Command {
    /// List volumes
    #[command(visible_alias = "list")]
    Ls(ls::Ls),
    /// Create a volume
    Create(create::Create),
    /// Remove volumes that no container has
    #[command(visible_alias = "remove")]
    Rm(rm::Rm),
    /// Show all that is known of volumes
    Inspect(inspect::Inspect),
    /// Remove all volumes without a name that no container has
    Prune(prune::Prune),
}

impl Volume {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        match self.command {
            Command::Ls(ls) => ls.run(client).await,
            Command::Create(create) => create.run(client).await,
            Command::Rm(rm) => rm.run(client).await,
            Command::Inspect(inspect) => inspect.run(client).await,
            Command::Prune(prune) => prune.run(client).await,
        }
    }
}
