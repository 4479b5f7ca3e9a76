use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::image_progress::messages;
use crate::client::{Client, query};
use crate::error::Outcome;
use crate::{output, terminal};

/// Flags of `beeline load`.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The archive [default: standard input]
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Print what was loaded only
    #[arg(short, long)]
    quiet: bool,
}

impl Load {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let path = query("/images/load", &[("quiet", if self.quiet { "1" } else { "0" })]);
        let response = match &self.input {
            None if terminal::is_interactive() => {
                return Err(
                    anyhow::anyhow!("no archive: name one with -i, or pipe one to standard input").into()
                );
            }
            None => client.upload(&path, tokio::io::stdin()).await?,
            Some(file) => {
                let opened = tokio::fs::File::open(file).await;
                client.upload(&path, opened.with_context(|| format!("open {}", file.display()))?).await?
            }
        };
        messages(client, response, |message| match &message.stream {
            Some(text) => output::bytes(text.as_bytes()),
            None => Ok(()),
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }
}
