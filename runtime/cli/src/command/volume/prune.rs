use std::process::ExitCode;

use beeline_wire::volume::VolumePruneReport;
use clap::Args;
use http::Method;

use crate::client::{Client, query};
use crate::error::Outcome;
use crate::filter::{self, Filter};
use crate::output;

/// Flags of `beeline volume prune`.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Volumes with a name, too
    #[arg(short, long)]
    all: bool,
    /// Only volumes that match, such as label=web; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = filter::parse)]
    filter: Vec<Filter>,
}

impl Prune {
    pub(crate) async fn run(mut self, client: &Client) -> Outcome {
        if self.all {
            self.filter.push(("all".to_owned(), "true".to_owned()));
        }
        let filters = filter::parameter(&self.filter)?;
        let response = client.open(Method::POST, &query("/volumes/prune", &[("filters", &filters)])).await?;
        let report: VolumePruneReport = client.json(response).await?;
        for name in report.volumes_deleted.unwrap_or_default() {
            output::line(&name)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
