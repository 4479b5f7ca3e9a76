use std::process::ExitCode;

use beeline_wire::volume::VolumeList;
use clap::Args;

use crate::client::{Client, query};
use crate::error::Outcome;
use crate::filter::{self, Filter};
use crate::output::{self, Table};

/// Flags of `beeline volume ls`.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Print names only
    #[arg(short, long)]
    quiet: bool,
    /// Only volumes that match, such as dangling=true or label=web; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = filter::parse)]
    filter: Vec<Filter>,
}

impl Ls {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let filters = filter::parameter(&self.filter)?;
        let list: VolumeList = client.get(&query("/volumes", &[("filters", &filters)])).await?;
        if self.quiet {
            for volume in &list.volumes {
                output::line(&volume.name)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(["DRIVER", "VOLUME NAME"]);
        for volume in list.volumes {
            table.row([volume.driver, volume.name]);
        }
        table.print()?;
        Ok(ExitCode::SUCCESS)
    }
}
