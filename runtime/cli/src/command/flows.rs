use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::client::Client;
use crate::error::Outcome;
use crate::flow::{self, Chosen};

/// Flags of `beeline flows`.
#[derive(Debug, Args)]
pub(crate) struct Flows {
    #[command(flatten)]
    chosen: Chosen,
    /// Only what gets through, or only what does not
    #[arg(long, value_name = "VERDICT")]
    verdict: Option<Verdict>,
}

/// What becomes of packets.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Verdict {
    /// They get through
    Forwarded,
    /// They do not
    Dropped,
}

impl Flows {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let verdict = self.verdict.map(|verdict| match verdict {
            Verdict::Forwarded => ("verdict", "forwarded"),
            Verdict::Dropped => ("verdict", "dropped"),
        });
        let mut lines = self.chosen.open(client, "/beeline/flows", verdict.as_slice(), true).await?;
        while let Some(flow) = lines.next().await? {
            flow::print(self.chosen.format, &flow)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
