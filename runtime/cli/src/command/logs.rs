use std::process::ExitCode;

use anyhow::Context;
use beeline_wire::container::inspect::ContainerInspect;
use clap::Args;
use futures_util::TryStreamExt;
use http::Method;
use http_body_util::BodyExt;
use tokio_util::io::StreamReader;

use crate::client::{Client, path, query};
use crate::error::Outcome;
use crate::{attach, units};

/// Flags of `beeline logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Go on with what the container writes from now on, until it stops
    #[arg(short, long)]
    follow: bool,
    /// Begin this many lines before the end
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all")]
    tail: String,
    /// Only what was written since then: a time, or a duration such as 10m before now
    #[arg(long, value_name = "TIME", value_parser = units::parse_instant)]
    since: Option<String>,
    /// Only what was written until then
    #[arg(long, value_name = "TIME", value_parser = units::parse_instant)]
    until: Option<String>,
    /// Put the time before each line
    #[arg(short, long)]
    timestamps: bool,
    /// Put labels and variables before each line that the log driver's options name
    #[arg(long)]
    details: bool,
    /// Name or id
    container: String,
}

impl Logs {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let container: ContainerInspect = client.get(&path("/containers/{}/json", &self.container)).await?;
        let flag = |set: bool| if set { "1" } else { "0" };
        let mut parameters = vec![
            ("stdout", "1"),
            ("stderr", "1"),
            ("follow", flag(self.follow)),
            ("timestamps", flag(self.timestamps)),
            ("details", flag(self.details)),
            ("tail", &self.tail),
        ];
        parameters.extend(self.since.as_deref().map(|since| ("since", since)));
        parameters.extend(self.until.as_deref().map(|until| ("until", until)));
        let logs = query(&path("/containers/{}/logs", &self.container), &parameters);
        let response = client.open(Method::GET, &logs).await?;
        let data = response.into_body().into_data_stream().map_err(std::io::Error::other);
        attach::show(StreamReader::new(data), !container.config.tty).await.context("read the log")?;
        Ok(ExitCode::SUCCESS)
    }
}
