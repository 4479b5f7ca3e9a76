//! Files of a container: archives from and to a directory tree, and what is different in it.
//!
//! A tree is a descriptor. Every path is resolved by the kernel inside of it (`openat2` with `RESOLVE_IN_ROOT`), whoever
//! changes it meanwhile: neither `..` nor a symbolic link leads out.

mod changes;
mod diff;
mod owners;
mod pack;
mod remove;
mod unpack;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, AtFlags, FileType, OFlags, Stat};
use rustix::io::Errno;

pub use changes::{Change, ChangeKind};
pub use owners::{OwnerRange, Owners};
pub use unpack::Unpack;

use crate::Error;
use crate::layer::tree::open_in;

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);

/// A directory tree that is seen as a root.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    owners: Owners,
}

/// What is known of a file without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStat {
    /// The last component of the path that was asked for.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Type and permissions, as the kernel has them.
    pub mode: u32,
    /// Seconds and nanoseconds since the epoch.
    pub modified: (i64, u32),
    /// Where a symbolic link leads to in the end, absolute; empty for anything else.
    pub link_target: String,
}

/// A file by the directory it is in. Of the path, the last component is not followed.
struct Place {
    parent: OwnedFd,
    name: Vec<u8>,
    /// What it is called in an archive.
    shown: Vec<u8>,
    stat: Stat,
}

impl Root {
    /// The tree below an open directory.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        Self::with_owners(fd, Owners::default())
    }

    /// The tree below an open directory, whose owners have other numbers in archives.
    #[must_use]
    pub fn with_owners(fd: OwnedFd, owners: Owners) -> Self {
        Self { fd, owners }
    }

    /// What is known of `path`. A symbolic link at its end is followed only if a slash or `/.` comes after it.
    ///
    /// # Errors
    /// [`Error::NoFile`] if there is no such file.
    pub fn stat(&self, path: &str) -> Result<FileStat, Error> {
        let place = self.place(path)?;
        let stat = &place.stat;
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        let link_target = if is_link { self.link_target(path, &place)? } else { String::new() };
        Ok(FileStat {
            name: String::from_utf8_lossy(&place.shown).into_owned(),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode,
            modified: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            link_target,
        })
    }

    /// The directory.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn place(&self, path: &str) -> Result<Place, Error> {
        let failed = |error: io::Error| missing(path, error);
        if path.as_bytes().contains(&0) {
            return Err(Error::NoFile(path.to_owned()));
        }
        let shown = last_name(path);
        let followed = path.ends_with('/') || path.ends_with("/.") || matches!(path, "" | ".");
        let trimmed = path.trim_end_matches(['/', '.']);
        let name = if followed || path.ends_with("..") { "" } else { path.rsplit('/').next().unwrap_or("") };
        let (directory, name) = if name.is_empty() {
            (
                if path.ends_with("..") {
                    path
                } else if trimmed.is_empty() {
                    "/"
                } else {
                    path
                },
                ".",
            )
        } else {
            (&path[..path.len() - name.len()], name)
        };
        let parent = open_in(self.fd(), directory.as_bytes(), DIRECTORY).map_err(failed)?;
        let stat =
            fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| failed(error.into()))?;
        Ok(Place { parent, name: name.as_bytes().to_vec(), shown: shown.into_bytes(), stat })
    }

    /// The end of a chain of links, or where it breaks off.
    fn link_target(&self, path: &str, place: &Place) -> Result<String, Error> {
        if let Ok(end) = open_in(self.fd(), path.as_bytes(), OFlags::PATH) {
            let (root, end) = (location(self.fd()), location(end.as_fd()));
            let (root, end) =
                (root.map_err(|error| missing(path, error))?, end.map_err(|error| missing(path, error))?);
            let inside = end.strip_prefix(root.strip_suffix(b"/").unwrap_or(&root)).unwrap_or(&end);
            return Ok(String::from_utf8_lossy(if inside.is_empty() { b"/" } else { inside }).into_owned());
        }
        let target = fs::readlinkat(&place.parent, place.name.as_slice(), Vec::new());
        let target = target.map_err(|error| missing(path, error.into()))?.to_string_lossy().into_owned();
        if target.starts_with('/') {
            return Ok(target);
        }
        let directory = path.trim_end_matches('/').rsplit_once('/').map_or("", |(directory, _)| directory);
        Ok(format!("/{}/{target}", directory.trim_start_matches('/')))
    }
}

/// The last component of a path as Docker names it: `/` of the root, `.` of a path that ends so.
fn last_name(path: &str) -> String {
    if path.ends_with("/.") || path == "." {
        return ".".to_owned();
    }
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.last().map_or_else(|| "/".to_owned(), |name| (*name).to_owned())
}

/// Where an open file is, in the mount tree that it is in.
fn location(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    Ok(link.as_os_str().as_bytes().to_vec())
}

fn missing(path: &str, error: io::Error) -> Error {
    let gone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].map(|errno| Some(errno.raw_os_error()));
    if gone.contains(&error.raw_os_error()) {
        return Error::NoFile(path.to_owned());
    }
    Error::Entry { path: path.to_owned(), source: error }
}

/// The names in a directory, sorted.
fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_bytes().to_vec());
        }
    }
    names.sort();
    Ok(names)
}

/// The extended attributes of an open file that an archive carries. Those of the overlay are its own affair.
fn attributes(file: BorrowedFd<'_>) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut list = vec![0; 64 << 10];
    let length = match fs::flistxattr(file, list.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::NOTSUP | Errno::PERM) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| carried(name)) {
        let mut value = vec![0; 64 << 10];
        match fs::fgetxattr(file, name, value.as_mut_slice()) {
            Ok(length) => {
                value.truncate(length);
                found.push((name.to_vec(), value));
            }
            // It went while we looked.
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn carried(name: &[u8]) -> bool {
    let kinds: [&[u8]; 4] = [b"user.", b"security.capability", b"trusted.", b"system.posix_acl_"];
    let overlay: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];
    kinds.iter().any(|kind| name.starts_with(kind)) && !overlay.iter().any(|own| name.starts_with(own))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode};

    use super::*;

    fn root(directory: &std::path::Path) -> Root {
        let flags = DIRECTORY | OFlags::CLOEXEC;
        Root::new(fs::openat(CWD, directory, flags, Mode::empty()).unwrap())
    }

    #[test]
    fn the_last_component_is_named_as_docker_does() {
        for (path, name) in [
            ("/a/b", "b"),
            ("/a/b/", "b"),
            ("/a/b/.", "."),
            ("/", "/"),
            ("", "/"),
            ("/a/..", "/"),
            ("/a/../b", "b"),
        ] {
            assert_eq!(last_name(path), name, "{path}");
        }
    }

    #[test]
    fn a_link_at_the_end_is_followed_only_with_a_slash_and_never_leads_out() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        std::fs::create_dir_all(tree.join("real/below")).unwrap();
        std::fs::write(directory.path().join("secret"), "outside").unwrap();
        std::os::unix::fs::symlink("/real/below", tree.join("link")).unwrap();
        std::os::unix::fs::symlink("../../secret", tree.join("out")).unwrap();
        let root = root(&tree);
        let link = root.stat("/link").unwrap();
        assert_eq!((link.mode & 0o170_000, link.link_target.as_str()), (0o120_000, "/real/below"));
        assert_eq!(root.stat("/link/").unwrap().mode & 0o170_000, 0o040_000);
        assert_eq!(root.stat("link/../..").unwrap().name, "/");
        assert!(matches!(root.stat("/out/"), Err(Error::NoFile(_))));
        assert!(matches!(root.stat("/../secret"), Err(Error::NoFile(_))));
        assert!(matches!(root.stat("/none"), Err(Error::NoFile(_))));
    }
}
