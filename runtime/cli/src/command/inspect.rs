use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::client::{self, Client, path};
use crate::error::{Failure, Outcome, report};
use crate::output;

/// Flags of `beeline inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// What the names are of [default: containers, then images, then networks, then volumes]
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    kind: Option<Kind>,
    /// Names or ids
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// What can be inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Container,
    Image,
    Network,
    Volume,
}

impl Kind {
    fn route(self) -> &'static str {
        match self {
            Self::Container => "/containers/{}/json",
            Self::Image => "/images/{}/json",
            Self::Network => "/networks/{}",
            Self::Volume => "/volumes/{}",
        }
    }
}

impl Inspect {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let mut code = ExitCode::SUCCESS;
        let mut found = Vec::new();
        for name in &self.names {
            match self.find(client, name).await {
                Ok(value) => found.push(value),
                Err(failure) => code = report(&failure),
            }
        }
        output::line(&serde_json::to_string_pretty(&found)?)?;
        Ok(code)
    }

    async fn find(&self, client: &Client, name: &str) -> Result<Value, Failure> {
        let kinds = self.kind.map_or_else(
            || vec![Kind::Container, Kind::Image, Kind::Network, Kind::Volume],
            |kind| vec![kind],
        );
        for kind in kinds {
            match client.get(&path(kind.route(), name)).await {
                Err(error) if client::Error::is_not_found(&error) => {}
                other => return Ok(other?),
            }
        }
        Err(anyhow::anyhow!("no such object: {name}").into())
    }
}
