use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use http::Method;
use http_body_util::BodyExt;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::client::{Client, query};
use crate::error::Outcome;

/// Flags of `beeline save`.
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// The archive to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Save {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let names: Vec<_> = self.images.iter().map(|name| ("names", name.as_str())).collect();
        archive(client, &query("/images/get", &names), self.output.as_deref()).await
    }
}

/// Writes the archive that the daemon answers with to a file, or to standard output.
pub(crate) async fn archive(client: &Client, route: &str, output: Option<&Path>) -> Outcome {
    if output.is_none() && io::stdout().is_terminal() {
        return Err(anyhow::anyhow!("an archive is nothing for a terminal: use -o FILE or a pipe").into());
    }
    let response = client.open(Method::GET, route).await?;
    let Some(path) = output else {
        write(client, response.into_body(), tokio::io::stdout()).await?;
        return Ok(ExitCode::SUCCESS);
    };
    // A broken one must not look like an archive.
    let partial = path.with_extension("partial");
    let file =
        tokio::fs::File::create(&partial).await.with_context(|| format!("create {}", partial.display()))?;
    if let Err(error) = write(client, response.into_body(), file).await {
        // The error that matters is the first.
        let _ = tokio::fs::remove_file(&partial).await;
        return Err(error.into());
    }
    tokio::fs::rename(&partial, path).await.with_context(|| format!("rename to {}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

async fn write(
    client: &Client,
    mut body: hyper::body::Incoming,
    mut to: impl AsyncWrite + Unpin,
) -> anyhow::Result<()> {
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| client.transport(error))?;
        if let Some(data) = frame.data_ref() {
            total += data.len();
            to.write_all(data).await.context("write the archive")?;
        }
    }
    to.flush().await.context("write the archive")?;
    if total == 0 {
        bail!("the daemon sent an empty archive");
    }
    Ok(())
}
