//! From here to a container.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use beeline_wire::container::files::PathStat;
use tokio_util::io::SyncIoBridge;

use super::{Cp, base, stat};
use crate::client::{Client, path, query};

/// Bytes of an archive under way.
const PIPE: usize = 256 << 10;

impl Cp {
    pub(super) async fn to(&self, client: &Client, from: &str, container: &str, to: &str) -> Result<()> {
        let mut found = stat(client, container, to).await?;
        let mut target = to.to_owned();
        if let Some(link) =
            found.as_ref().map(|found| found.link_target.clone()).filter(|link| !link.is_empty())
        {
            found = stat(client, container, &link).await?;
            target = link;
        }
        let is_directory = found.as_ref().is_some_and(|found| found.mode & PathStat::DIRECTORY != 0);
        if from == "-" {
            if !is_directory {
                bail!("destination \"{container}:{to}\" must be a directory");
            }
            return put(client, container, &target, self.archive, tokio::io::stdin()).await;
        }
        let mut source = PathBuf::from(from);
        if self.follow_link {
            source = source.canonicalize().with_context(|| format!("follow {from}"))?;
        }
        let metadata = fs::symlink_metadata(&source).with_context(|| format!("find {from}"))?;
        let (directory, name) = place(from, metadata.is_dir(), &target, found.as_ref(), is_directory)?;
        let (writer, reader) = tokio::io::duplex(PIPE);
        let out = SyncIoBridge::new(writer);
        let packing = tokio::task::spawn_blocking(move || pack(&source, &name, out));
        let sent = put(client, container, &directory, self.archive, reader).await;
        // What could not be read is the reason for an archive that broke off.
        packing.await?.and(sent)
    }
}

/// The directory to unpack in, and the name in the archive.
fn place(
    from: &str,
    from_directory: bool,
    target: &str,
    found: Option<&PathStat>,
    is_directory: bool,
) -> Result<(String, String)> {
    let contents = from_directory && (from.ends_with("/.") || from == ".");
    let split = || {
        let trimmed = target.trim_end_matches('/');
        let (directory, name) = trimmed.rsplit_once('/').unwrap_or(("", trimmed));
        (format!("/{}", directory.trim_start_matches('/')), name.to_owned())
    };
    match found {
        Some(_) if is_directory => {
            let name = if contents { "." } else { base(from).unwrap_or(".") };
            Ok((target.to_owned(), name.to_owned()))
        }
        Some(_) if from_directory => bail!("cannot copy the directory {from} onto the file {target}"),
        None if target.ends_with('/') && !from_directory => {
            bail!("the directory {target} does not exist in the container")
        }
        _ => Ok(split()),
    }
}

async fn put(
    client: &Client,
    container: &str,
    directory: &str,
    owners: bool,
    archive: impl tokio::io::AsyncRead + Send + 'static,
) -> Result<()> {
    let owners = if owners { "1" } else { "0" };
    let parameters = [("path", directory), ("noOverwriteDirNonDir", "1"), ("copyUIDGID", owners)];
    let route = query(&path("/containers/{}/archive", container), &parameters);
    client.put_archive(&route, archive).await?;
    Ok(())
}

fn pack(source: &Path, name: &str, out: impl Write) -> Result<()> {
    let mut archive = tar::Builder::new(out);
    archive.follow_symlinks(false);
    let packed = if fs::symlink_metadata(source).is_ok_and(|metadata| metadata.is_dir()) {
        archive.append_dir_all(name, source)
    } else {
        archive.append_path_with_name(source, name)
    };
    packed.with_context(|| format!("pack {}", source.display()))?;
    archive.into_inner().context("pack")?.flush().context("pack")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_takes_in_and_another_name_renames() {
        let directory = PathStat { mode: PathStat::DIRECTORY, ..PathStat::default() };
        let file = PathStat::default();
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        assert_eq!(place("a/f", false, "/tmp", Some(&directory), true).unwrap(), pair("/tmp", "f"));
        assert_eq!(place("a/.", true, "/tmp", Some(&directory), true).unwrap(), pair("/tmp", "."));
        assert_eq!(place("a/f", false, "/tmp/g", Some(&file), false).unwrap(), pair("/tmp", "g"));
        assert_eq!(place("d", true, "/srv/e", None, false).unwrap(), pair("/srv", "e"));
        assert_eq!(place("d", true, "e", None, false).unwrap(), pair("/", "e"));
        assert!(place("d", true, "/tmp/g", Some(&file), false).is_err());
        assert!(place("f", false, "/none/", None, false).is_err());
    }
}
