use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::image_progress::messages;
use super::tag;
use crate::client::{Client, query};
use crate::error::Outcome;
use crate::output;

/// Flags of `beeline import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// A Dockerfile instruction to apply, such as 'CMD ["nginx"]'; may be repeated
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// A comment for the image's history
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
    /// The archive, plain or compressed with gzip or zstd; - is standard input
    file: String,
    /// The image's name
    #[arg(value_name = "REPOSITORY[:TAG]", default_value = "", hide_default_value = true)]
    name: String,
}

impl Import {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let (repository, tag) = tag::split(&self.name);
        let mut parameters =
            vec![("fromSrc", "-"), ("repo", repository), ("tag", tag), ("message", &self.message)];
        parameters.extend(self.change.iter().map(|change| ("changes", change.as_str())));
        let path = query("/images/create", &parameters);
        let response = if self.file == "-" {
            client.upload(&path, tokio::io::stdin()).await?
        } else {
            let file =
                tokio::fs::File::open(&self.file).await.with_context(|| format!("open {}", self.file))?;
            client.upload(&path, file).await?
        };
        messages(client, response, |message| match &message.status {
            Some(id) if id.starts_with("sha256:") => output::line(id),
            _ => Ok(()),
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }
}
