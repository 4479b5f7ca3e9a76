use std::process::ExitCode;

use clap::Args;
use http::Method;

use crate::client::{Client, path, query};
use crate::error::Outcome;

/// Flags of `beeline rename`.
#[derive(Debug, Args)]
pub(crate) struct Rename {
    /// Name or id
    container: String,
    /// Its new name
    new_name: String,
}

impl Rename {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let rename = query(&path("/containers/{}/rename", &self.container), &[("name", &self.new_name)]);
        client.call(Method::POST, &rename).await?;
        Ok(ExitCode::SUCCESS)
    }
}
