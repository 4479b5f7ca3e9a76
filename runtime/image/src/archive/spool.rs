//! An archive of images on disk: its files under numbers, so that no name from the archive becomes a path.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tar::{Archive, EntryType};
use tempfile::TempDir;

use crate::error::at;
use crate::{Digest, Error, compression};

const BUFFER: usize = 128 * 1024;
/// Configurations and manifests are some KiB; more is an attempt at the daemon's memory.
const JSON_MAX: u64 = 16 * 1024 * 1024;
/// Older archives share layers by links; a chain of them is no image.
const LINKS_MAX: usize = 8;
const WHAT: &str = "image archive";

/// A file of the archive.
#[derive(Debug, Clone)]
pub(super) struct Spooled {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) digest: Digest,
}

enum Member {
    File(Spooled),
    Link(String),
}

/// The archive's files; dropping it removes them.
pub(super) struct Spool {
    members: HashMap<String, Member>,
    /// Files so far: of two members with one name, both are kept, and the later is found.
    files: usize,
    directory: TempDir,
}

impl Spool {
    /// Reads the whole archive, plain or compressed.
    pub(super) fn read(archive: impl Read, temporary: &Path) -> Result<Self, Error> {
        let directory = tempfile::tempdir_in(temporary).map_err(at("create a directory in", temporary))?;
        let mut spool = Self { members: HashMap::new(), files: 0, directory };
        let mut archive = Archive::new(compression::decompress(archive, WHAT)?);
        let mut buffer = vec![0; BUFFER];
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let name = normal(&String::from_utf8_lossy(&entry.path_bytes()));
            let target = entry.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned());
            let member = match (entry.header().entry_type(), target) {
                (EntryType::Regular | EntryType::Continuous, _) => {
                    let size = entry.size();
                    Member::File(spool.file(&mut entry, size, &mut buffer)?)
                }
                (EntryType::Symlink, Some(target)) => Member::Link(normal(&beside(&name, &target))),
                (EntryType::Link, Some(target)) => Member::Link(normal(&target)),
                _ => continue,
            };
            spool.members.insert(name, member);
        }
        Ok(spool)
    }

    fn file(&mut self, entry: &mut impl Read, size: u64, buffer: &mut [u8]) -> Result<Spooled, Error> {
        let path = self.directory.path().join(self.files.to_string());
        self.files += 1;
        let mut file = File::create(&path).map_err(at("create", &path))?;
        let mut hasher = Sha256::new();
        let mut copied = 0;
        loop {
            let count = match entry.read(buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken(error)),
            };
            file.write_all(&buffer[..count]).map_err(at("write", &path))?;
            hasher.update(&buffer[..count]);
            copied += count as u64;
        }
        if copied != size {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(Spooled { path, size, digest: Digest::finish(hasher) })
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// The file `name`, through links.
    pub(super) fn get(&self, name: &str) -> Result<&Spooled, Error> {
        let mut name = normal(name);
        for _ in 0..LINKS_MAX {
            match self.members.get(&name) {
                Some(Member::File(file)) => return Ok(file),
                Some(Member::Link(target)) => name.clone_from(target),
                None => break,
            }
        }
        Err(Error::archive(format!("read {WHAT}"), format!("{name} is missing: the archive is incomplete")))
    }

    /// The file that holds the blob `digest`, verified.
    pub(super) fn blob(&self, digest: &Digest) -> Result<&Spooled, Error> {
        let file = self.get(&format!("blobs/sha256/{}", digest.hex()))?;
        file.verify(digest)?;
        Ok(file)
    }
}

impl Spooled {
    /// The contents of a file that is JSON.
    pub(super) fn json(&self, name: &str) -> Result<Vec<u8>, Error> {
        if self.size > JSON_MAX {
            let reason = format!("{name} has {} bytes, more than any manifest or configuration", self.size);
            return Err(Error::archive(format!("read {WHAT}"), reason));
        }
        fs::read(&self.path).map_err(at("read", &self.path))
    }

    pub(super) fn verify(&self, expected: &Digest) -> Result<(), Error> {
        if self.digest == *expected {
            return Ok(());
        }
        Err(Error::DigestMismatch {
            what: format!("blob {expected}"),
            expected: *expected,
            found: self.digest,
        })
    }
}

fn broken(error: io::Error) -> Error {
    Error::tar(WHAT, error)
}

/// `target` as seen from the directory of `name`.
fn beside(name: &str, target: &str) -> String {
    if target.starts_with('/') {
        return target.to_owned();
    }
    let directory = name.rfind('/').map_or("", |slash| &name[..slash]);
    format!("{directory}/{target}")
}

/// A name without `.` and `..`; it is a key in a table, never a path.
fn normal(name: &str) -> String {
    let mut components = Vec::new();
    for component in name.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop();
            }
            name => components.push(name),
        }
    }
    components.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_older_archives_are_followed_by_name() {
        assert_eq!(normal(&beside("two/layer.tar", "../one/layer.tar")), "one/layer.tar");
        assert_eq!(normal("./blobs//sha256/x"), "blobs/sha256/x");
        assert_eq!(normal(&beside("a", "../../../etc/passwd")), "etc/passwd");
    }
}
