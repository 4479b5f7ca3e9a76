use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::client::{Client, path};
use crate::error::{Outcome, report};
use crate::output;

/// Flags of `beeline network inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Names or ids
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

impl Inspect {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let mut code = ExitCode::SUCCESS;
        let mut found: Vec<Value> = Vec::new();
        for name in &self.networks {
            match client.get(&path("/networks/{}", name)).await {
                Ok(value) => found.push(value),
                Err(error) => code = report(&error.into()),
            }
        }
        output::line(&serde_json::to_string_pretty(&found)?)?;
        Ok(code)
    }
}
