use std::process::ExitCode;

use beeline_wire::system::info::Info as Answer;
use clap::Args;

use crate::client::Client;
use crate::error::Outcome;
use crate::output;
use crate::units;

/// Flags of `beeline info`.
#[derive(Debug, Args)]
pub(crate) struct Info {}

impl Info {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let info: Answer = client.get("/info").await?;
        let containers = format!(
            "{} ({} running, {} paused, {} stopped)",
            info.containers, info.containers_running, info.containers_paused, info.containers_stopped
        );
        for (name, value) in [
            ("Server version", info.server_version),
            ("Containers", containers),
            ("Images", info.images.to_string()),
            ("Storage driver", info.driver),
            ("Logging driver", info.logging_driver),
            ("Cgroups", format!("version {}, driver {}", info.cgroup_version, info.cgroup_driver)),
            ("Kernel", info.kernel_version),
            ("Operating system", format!("{} ({})", info.operating_system, info.architecture)),
            ("CPUs", info.ncpu.to_string()),
            ("Memory", units::human_bytes(info.mem_total)),
            ("Name", info.name),
            ("Root directory", info.docker_root_dir),
        ] {
            output::line(&format!("{:18}{value}", format!("{name}:")))?;
        }
        for [_, guard] in info.driver_status.iter().filter(|[name, _]| name == "Guard") {
            output::line(&format!("{:18}{guard}", "Guard:"))?;
        }
        for warning in info.warnings {
            output::complain(&warning);
        }
        Ok(ExitCode::SUCCESS)
    }
}
