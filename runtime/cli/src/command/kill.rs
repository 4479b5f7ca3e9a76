use clap::Args;
use http::Method;

use crate::client::{Client, path, query};
use crate::error::{Outcome, for_each};
use crate::output;

/// Flags of `beeline kill`.
#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// The signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Kill {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let signal = &*self.signal;
        for_each(&self.containers, |name| async move {
            let kill = query(&path("/containers/{}/kill", &name), &[("signal", signal)]);
            client.call(Method::POST, &kill).await?;
            Ok(output::line(&name)?)
        })
        .await
    }
}
