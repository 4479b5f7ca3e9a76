use std::process::ExitCode;

use beeline_wire::system::version::VersionResponse;
use beeline_wire::version::ApiVersion;
use clap::Args;

use crate::client::Client;
use crate::error::Outcome;
use crate::output;

/// Flags of `beeline version`.
#[derive(Debug, Args)]
pub(crate) struct Version {}

impl Version {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        output::line(&format!(
            "Client:\n Version:      {}\n API version:  {}\n",
            env!("CARGO_PKG_VERSION"),
            ApiVersion::MAX
        ))?;
        let server: VersionResponse = client.get("/version").await?;
        output::line(&format!(
            "Server: {}\n Version:      {}\n API version:  {} (minimum {})\n Kernel:       {}\n OS/Arch:      {}/{}",
            server.platform.name,
            server.version,
            server.api_version,
            server.min_api_version,
            server.kernel_version,
            server.os,
            server.arch
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
