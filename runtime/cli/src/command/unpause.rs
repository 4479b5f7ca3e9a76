use clap::Args;
use http::Method;

use crate::client::{Client, path};
use crate::error::{Outcome, for_each};
use crate::output;

/// Flags of `beeline unpause`.
#[derive(Debug, Args)]
pub(crate) struct Unpause {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Unpause {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        for_each(&self.containers, |name| async move {
            client.call(Method::POST, &path("/containers/{}/unpause", &name)).await?;
            Ok(output::line(&name)?)
        })
        .await
    }
}
