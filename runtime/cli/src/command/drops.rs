use std::collections::BTreeSet;
use std::process::ExitCode;

use beeline_wire::flow::Flow;
use clap::Args;

use crate::client::Client;
use crate::error::Outcome;
use crate::flow::{self, Chosen, Format};
use crate::output;

/// Flags of `beeline drops`.
#[derive(Debug, Args)]
pub(crate) struct Drops {
    #[command(flatten)]
    chosen: Chosen,
    /// Only what was dropped for this reason, such as denied
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Go on with what is dropped from now on
    #[arg(short, long)]
    follow: bool,
}

impl Drops {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let reason = self.reason.as_deref().map(|reason| ("reason", reason));
        let mut lines = self.chosen.open(client, "/beeline/drops", reason.as_slice(), self.follow).await?;
        let mut past = Vec::new();
        let mut told = BTreeSet::new();
        while let Some(flow) = lines.next().await? {
            if !self.follow {
                past.push(flow);
                continue;
            }
            flow::print(self.chosen.format, &flow)?;
            if self.chosen.format == Format::Text {
                hints(std::iter::once(&flow.1), &mut told)?;
            }
        }
        // The last one is what people look for.
        past.iter().rev().try_for_each(|flow| flow::print(self.chosen.format, flow))?;
        if self.chosen.format == Format::Text && !self.follow {
            if past.is_empty() {
                output::complain(
                    "Nothing was dropped of late. `beeline drops --follow` waits for what will be.",
                );
            }
            hints(past.iter().rev().map(|(_, flow)| flow), &mut told)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What to do about each reason, once.
fn hints<'a>(flows: impl Iterator<Item = &'a Flow>, told: &mut BTreeSet<String>) -> anyhow::Result<()> {
    for drop in flows.filter_map(|flow| flow.drop.as_ref()) {
        if told.insert(drop.reason.clone()) {
            output::line(&format!("  {}: {}", drop.reason, drop.hint))?;
        }
    }
    Ok(())
}
