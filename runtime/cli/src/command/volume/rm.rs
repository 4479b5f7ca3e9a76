use clap::Args;
use http::Method;

use crate::client::{Client, path, query};
use crate::error::{Outcome, for_each};
use crate::output;

/// Flags of `beeline volume rm`.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Do not complain about a volume that does not exist
    #[arg(short, long)]
    force: bool,
    /// Names
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

impl Rm {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let force = if self.force { "1" } else { "0" };
        for_each(&self.volumes, |name| async move {
            client.call(Method::DELETE, &query(&path("/volumes/{}", &name), &[("force", force)])).await?;
            Ok(output::line(&name)?)
        })
        .await
    }
}
