use clap::Args;
use http::Method;

use crate::client::{Client, path, query};
use crate::error::{Outcome, for_each};
use crate::output;

/// Flags of `beeline rm`.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Kill running containers first
    #[arg(short, long)]
    force: bool,
    /// Remove the containers' anonymous volumes too
    #[arg(short, long)]
    volumes: bool,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Rm {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let flag = |set: bool| if set { "1" } else { "0" };
        let (force, volumes) = (flag(self.force), flag(self.volumes));
        for_each(&self.containers, |name| async move {
            let remove = query(&path("/containers/{}", &name), &[("force", force), ("v", volumes)]);
            client.call(Method::DELETE, &remove).await?;
            Ok(output::line(&name)?)
        })
        .await
    }
}
