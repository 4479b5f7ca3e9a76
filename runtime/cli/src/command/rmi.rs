use beeline_wire::image::DeletedImage;
use clap::Args;
use http::Method;

use crate::client::{Client, path, query};
use crate::error::{Outcome, for_each};
use crate::output;

/// Flags of `beeline rmi`.
#[derive(Debug, Args)]
pub(crate) struct Rmi {
    /// Remove also what stopped containers use, and every name of an image given by id
    #[arg(short, long)]
    force: bool,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Rmi {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let force = if self.force { "1" } else { "0" };
        for_each(&self.images, |name| async move {
            let remove = query(&path("/images/{}", &name), &[("force", force)]);
            let response = client.open(Method::DELETE, &remove).await?;
            let removed: Vec<DeletedImage> = client.json(response).await?;
            for part in removed {
                if let Some(name) = part.untagged {
                    output::line(&format!("Untagged: {name}"))?;
                }
                if let Some(id) = part.deleted {
                    output::line(&format!("Deleted: {id}"))?;
                }
            }
            Ok(())
        })
        .await
    }
}
