use beeline_wire::container::wait::WaitResponse;
use clap::Args;
use http::Method;

use crate::client::{Client, path};
use crate::error::{Outcome, for_each};
use crate::output;

/// Flags of `beeline wait`.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Wait {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        for_each(&self.containers, |name| async move {
            let response = client.open(Method::POST, &path("/containers/{}/wait", &name)).await?;
            let answer: WaitResponse = client.json(response).await?;
            Ok(output::line(&answer.status_code.to_string())?)
        })
        .await
    }
}
