//! `beeline cp`: files between a container and here, as `docker cp` does it.

mod from;
mod to;

use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beeline_wire::container::files::PathStat;
use clap::Args;
use http::{HeaderMap, Method};

use crate::client::{Client, path, query};
use crate::error::Outcome;

const STAT: &str = "x-docker-container-path-stat";

/// Flags of `beeline cp`.
#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// Keep owners: those of the archive here, the container's user there
    #[arg(short, long)]
    archive: bool,
    /// Follow a symbolic link that is the source
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// CONTAINER:PATH, a path here, or - for an archive on standard input
    source: String,
    /// CONTAINER:PATH, a path here, or - for an archive on standard output
    destination: String,
}

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Side {
    Container { name: String, path: String },
    Here(String),
}

impl Cp {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        match (side(&self.source), side(&self.destination)) {
            (Side::Container { name, path }, Side::Here(to)) => {
                self.from(client, &name, &path, &to).await?;
            }
            (Side::Here(from), Side::Container { name, path }) => {
                self.to(client, &from, &name, &path).await?;
            }
            (Side::Container { .. }, Side::Container { .. }) => {
                return Err(anyhow!("copying between containers is not supported: copy to here first").into());
            }
            (Side::Here(_), Side::Here(_)) => {
                return Err(anyhow!("must specify at least one container source: CONTAINER:PATH").into());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// `CONTAINER:PATH`, or a path here: one that begins like a path or has no colon.
fn side(text: &str) -> Side {
    let here = || Side::Here(text.to_owned());
    if text.starts_with(['/', '.', '-']) {
        return here();
    }
    match text.split_once(':') {
        Some((name, path)) if !name.is_empty() && !name.contains('/') => {
            Side::Container { name: name.to_owned(), path: path.to_owned() }
        }
        _ => here(),
    }
}

/// What the daemon knows of a file; none if there is none.
async fn stat(client: &Client, container: &str, file: &str) -> anyhow::Result<Option<PathStat>> {
    let route = query(&path("/containers/{}/archive", container), &[("path", file)]);
    match client.open(Method::HEAD, &route).await {
        Ok(response) => stat_of(response.headers()).map(Some),
        Err(error) if error.is_not_found() => {
            // It may be the container that there is none of, which an answer without a body does not say.
            let _: serde_json::Value = client.get(&path("/containers/{}/json", container)).await?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn stat_of(headers: &HeaderMap) -> anyhow::Result<PathStat> {
    let Some(header) = headers.get(STAT) else { bail!("the daemon's answer has no header {STAT}") };
    let text = STANDARD.decode(header.as_bytes()).context("read the daemon's description of a file")?;
    serde_json::from_slice(&text).context("read the daemon's description of a file")
}

/// The last component of a path; none if it has none that is a name.
fn base(text: &str) -> Option<&str> {
    let name = text.trim_end_matches('/').rsplit('/').next()?;
    (!matches!(name, "" | "." | "..")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_after_a_name_is_a_containers() {
        let container = |name: &str, path: &str| Side::Container { name: name.into(), path: path.into() };
        assert_eq!(side("web:/etc"), container("web", "/etc"));
        assert_eq!(side("web:etc:x"), container("web", "etc:x"));
        for here in ["/a:b", "./a:b", "-", "a/b:c", "file"] {
            assert_eq!(side(here), Side::Here(here.into()), "{here}");
        }
    }

    #[test]
    fn the_last_component_is_a_name() {
        assert_eq!(base("/a/b/"), Some("b"));
        assert_eq!((base("/"), base("/a/."), base("..")), (None, None, None));
    }
}
