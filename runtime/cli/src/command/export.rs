use std::path::PathBuf;

use clap::Args;

use super::save;
use crate::client::{Client, path};
use crate::error::Outcome;

/// Flags of `beeline export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The archive to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Name or id
    container: String,
}

impl Export {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        save::archive(client, &path("/containers/{}/export", &self.container), self.output.as_deref()).await
    }
}
