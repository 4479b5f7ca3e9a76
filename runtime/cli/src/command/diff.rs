use std::process::ExitCode;

use beeline_wire::container::files::Change;
use clap::Args;

use crate::client::{Client, path};
use crate::error::Outcome;
use crate::output;

/// Flags of `beeline diff`.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// Name or id
    container: String,
}

impl Diff {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let changes: Option<Vec<Change>> =
            client.get(&path("/containers/{}/changes", &self.container)).await?;
        for change in changes.unwrap_or_default() {
            let kind = match change.kind {
                0 => "C",
                1 => "A",
                _ => "D",
            };
            output::line(&format!("{kind} {}", change.path))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
