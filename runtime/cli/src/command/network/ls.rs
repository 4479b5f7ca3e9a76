use std::process::ExitCode;

use beeline_wire::network::Network;
use clap::Args;

use crate::client::{Client, query};
use crate::error::Outcome;
use crate::filter::{self, Filter};
use crate::output::{self, Table};

/// Flags of `beeline network ls`.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Print whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Only networks that match, such as driver=bridge or label=web; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = filter::parse)]
    filter: Vec<Filter>,
}

impl Ls {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let filters = filter::parameter(&self.filter)?;
        let networks: Vec<Network> = client.get(&query("/networks", &[("filters", &filters)])).await?;
        let mut table = Table::new(["NETWORK ID", "NAME", "DRIVER", "SUBNETS"]);
        for network in networks {
            let id = if self.no_trunc { &network.id } else { network.id.get(..12).unwrap_or(&network.id) };
            if self.quiet {
                output::line(id)?;
                continue;
            }
            let subnets: Vec<&str> = network.ipam.config.iter().map(|pool| pool.subnet.as_str()).collect();
            let row = [id.to_owned(), network.name.clone(), network.driver.clone(), subnets.join(", ")];
            table.row(row);
        }
        if !self.quiet {
            table.print()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
