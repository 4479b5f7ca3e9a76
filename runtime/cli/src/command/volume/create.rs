use std::process::ExitCode;

use beeline_wire::volume::{Volume, VolumeCreateRequest};
use clap::Args;

use crate::client::Client;
use crate::command::run::pairs;
use crate::error::Outcome;
use crate::output;

/// Flags of `beeline volume create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// local, the only driver
    #[arg(short, long, value_name = "DRIVER", default_value = "local")]
    driver: String,
    /// What the volume is mounted from: type=TYPE, device=DEVICE and o=OPTIONS, as for mount; may be repeated
    #[arg(short, long = "opt", value_name = "OPTION")]
    option: Vec<String>,
    /// Set a label: NAME=VALUE; may be repeated
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// The volume's name [default: a random one]
    #[arg(value_name = "VOLUME")]
    name: Option<String>,
}

impl Create {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let request = VolumeCreateRequest {
            name: self.name.unwrap_or_default(),
            driver: self.driver,
            driver_opts: pairs(&self.option),
            labels: pairs(&self.label),
            cluster_volume_spec: None,
        };
        let created: Volume = client.post_json("/volumes/create", &request).await?;
        output::line(&created.name)?;
        Ok(ExitCode::SUCCESS)
    }
}
