use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::client::{Client, path};
use crate::error::{Outcome, report};
use crate::output;

/// Flags of `beeline volume inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Names
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

impl Inspect {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let mut code = ExitCode::SUCCESS;
        let mut found: Vec<Value> = Vec::new();
        for name in &self.volumes {
            match client.get(&path("/volumes/{}", name)).await {
                Ok(value) => found.push(value),
                Err(error) => code = report(&error.into()),
            }
        }
        output::line(&serde_json::to_string_pretty(&found)?)?;
        Ok(code)
    }
}
