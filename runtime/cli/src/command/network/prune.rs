use std::process::ExitCode;

use beeline_wire::network::NetworkPruneReport;
use clap::Args;
use http::Method;

use crate::client::{Client, query};
use crate::error::Outcome;
use crate::filter::{self, Filter};
use crate::output;

/// Flags of `beeline network prune`.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Only networks that match, such as label=web or until=2026-01-01T00:00:00Z; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = filter::parse)]
    filter: Vec<Filter>,
}

impl Prune {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let filters = filter::parameter(&self.filter)?;
        let response = client.open(Method::POST, &query("/networks/prune", &[("filters", &filters)])).await?;
        let report: NetworkPruneReport = client.json(response).await?;
        for name in report.networks_deleted.unwrap_or_default() {
            output::line(&name)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
