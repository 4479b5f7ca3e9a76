use clap::Args;
use http::Method;

use crate::client::{Client, path, query};
use crate::error::{Outcome, for_each};
use crate::output;

/// Flags of `beeline stop` and `beeline restart`.
#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Seconds to wait before SIGKILL; -1 waits for ever [default: 10, or what the container was given]
    #[arg(short, long, visible_alias = "time", value_name = "SECONDS", allow_negative_numbers = true)]
    timeout: Option<i64>,
    /// The signal to send first [default: the image's stop signal, or TERM]
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Stop {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        self.ask("/containers/{}/stop", client).await
    }

    /// Stops the containers and starts them again.
    pub(crate) async fn restart(self, client: &Client) -> Outcome {
        self.ask("/containers/{}/restart", client).await
    }

    async fn ask(self, route: &str, client: &Client) -> Outcome {
        let timeout = self.timeout.map(|seconds| seconds.to_string());
        let mut parameters = Vec::new();
        parameters.extend(timeout.as_deref().map(|seconds| ("t", seconds)));
        parameters.extend(self.signal.as_deref().map(|signal| ("signal", signal)));
        let parameters = &parameters;
        for_each(&self.containers, |name| async move {
            client.call(Method::POST, &query(&path(route, &name), parameters)).await?;
            Ok(output::line(&name)?)
        })
        .await
    }
}
