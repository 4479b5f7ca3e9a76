use clap::Args;
use http::Method;

use crate::client::{Client, path};
use crate::error::{Outcome, for_each};
use crate::output;

/// Flags of `beeline network rm`.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Names or ids
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

impl Rm {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        for_each(&self.networks, |name| async move {
            client.call(Method::DELETE, &path("/networks/{}", &name)).await?;
            Ok(output::line(&name)?)
        })
        .await
    }
}
