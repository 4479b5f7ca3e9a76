//! From a container to here.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use beeline_wire::container::files::PathStat;
use futures_util::TryStreamExt;
use http::Method;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{Cp, base, stat, stat_of};
use crate::client::{Client, path, query};

impl Cp {
    pub(super) async fn from(&self, client: &Client, container: &str, source: &str, to: &str) -> Result<()> {
        let mut source = source.to_owned();
        if self.follow_link
            && let Some(found) = stat(client, container, &source).await?
            && !found.link_target.is_empty()
        {
            source = found.link_target;
        }
        let route = query(&path("/containers/{}/archive", container), &[("path", &source)]);
        let response = client.open(Method::GET, &route).await?;
        let found = stat_of(response.headers())?;
        if to == "-" {
            let mut body = response.into_body();
            let mut out = tokio::io::stdout();
            while let Some(frame) = body.frame().await {
                if let Some(data) = frame.map_err(|error| client.transport(error))?.data_ref() {
                    out.write_all(data).await.context("write to standard output")?;
                }
            }
            return out.flush().await.context("write to standard output");
        }
        let plan = Plan::new(&found, &source, to)?;
        let data = response.into_body().into_data_stream().map_err(std::io::Error::other);
        let archive = SyncIoBridge::new(StreamReader::new(data));
        let owners = self.archive;
        tokio::task::spawn_blocking(move || plan.unpack(archive, owners)).await?
    }
}

/// Where an archive goes.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// It is unpacked here.
    directory: PathBuf,
    /// What comes of it is then moved: from this name in the archive to this path.
    rename: Option<(String, PathBuf)>,
}

impl Plan {
    fn new(found: &PathStat, source: &str, to: &str) -> Result<Self> {
        let target = Path::new(to);
        let source_is_directory = found.mode & PathStat::DIRECTORY != 0;
        match fs::metadata(target) {
            Ok(metadata) if metadata.is_dir() => Ok(Self { directory: target.to_owned(), rename: None }),
            Ok(_) if source_is_directory => bail!("cannot copy a directory onto the file {to}"),
            Ok(_) if to.ends_with('/') => bail!("{to} is not a directory"),
            _ => {
                if !source_is_directory && to.ends_with('/') {
                    bail!("the destination directory {to} does not exist: make it first");
                }
                let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
                let parent = parent.unwrap_or(Path::new("."));
                if !parent.is_dir() {
                    bail!("the directory {} does not exist: make it first", parent.display());
                }
                // A name of ours beside it: on the same file system, for the renaming.
                let directory = parent.join(format!(".beeline-cp-{}", std::process::id()));
                let name = base(source).map_or_else(|| ".".to_owned(), |_| found.name.clone());
                Ok(Self { directory, rename: Some((name, target.to_owned())) })
            }
        }
    }

    fn unpack(self, archive: impl Read, owners: bool) -> Result<()> {
        let Some((name, target)) = &self.rename else { return unpack(archive, &self.directory, owners) };
        let made = || format!("make {}", self.directory.display());
        fs::create_dir(&self.directory).with_context(made)?;
        let moved = unpack(archive, &self.directory, owners).and_then(|()| {
            let from = if name == "." { self.directory.clone() } else { self.directory.join(name) };
            fs::rename(&from, target).with_context(|| format!("move to {}", target.display()))
        });
        // What was moved away is not there any more.
        let _ = fs::remove_dir_all(&self.directory);
        moved
    }
}

/// Unpacks an archive; no name in it leads out of the directory.
fn unpack(archive: impl Read, directory: &Path, owners: bool) -> Result<()> {
    let mut archive = tar::Archive::new(archive);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(owners);
    for entry in archive.entries().context("read the archive")? {
        let mut entry = entry.context("read the archive")?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let made = entry.unpack_in(directory).with_context(|| format!("unpack {name}"))?;
        if !made {
            bail!("refused {name}: its name leads out of {}", directory.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_gets_the_name_and_a_directory_takes_it_in() {
        let file = PathStat { name: "f".into(), ..PathStat::default() };
        let directory = PathStat { name: "d".into(), mode: PathStat::DIRECTORY, ..PathStat::default() };
        assert_eq!(Plan::new(&file, "/f", "/tmp").unwrap().rename, None);
        let (name, target) = Plan::new(&file, "/f", "/tmp/none-such").unwrap().rename.unwrap();
        assert_eq!((name.as_str(), target), ("f", PathBuf::from("/tmp/none-such")));
        assert_eq!(Plan::new(&directory, "/d/.", "/tmp/none-such").unwrap().rename.unwrap().0, ".");
        assert!(Plan::new(&file, "/f", "/tmp/none-such/").is_err());
        assert!(Plan::new(&directory, "/d", "/dev/null").is_err());
        assert!(Plan::new(&file, "/f", "/none/such").is_err());
    }
}
