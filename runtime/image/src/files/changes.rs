//! What is different in a container from its image.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::pack::open_below;
use super::{Root, names};
use crate::Error;
use crate::layer::tree::is_whiteout;

const OPAQUE: &str = "trusted.overlay.opaque";
const REDIRECT: &str = "trusted.overlay.redirect";

/// A path that is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path, absolute.
    pub path: String,
    /// How it is different.
    pub kind: ChangeKind,
}

/// How a path is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is other than in the image, or something below it is.
    Modified,
    /// The image does not have it.
    Added,
    /// Only the image has it.
    Deleted,
}

/// Differences by path, relative to the root: what is above another comes before it.
pub(super) type Changes = BTreeMap<Vec<u8>, ChangeKind>;

impl Root {
    /// What is different in this directory, which is an overlay's upper one, from `image`, which it was mounted on.
    /// Empty files and directories at `own` are its owner's, who needed something to mount on.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn changes(&self, image: &Self, own: &[&str]) -> Result<Vec<Change>, Error> {
        let change = |(path, kind): (Vec<u8>, ChangeKind)| Change {
            path: format!("/{}", String::from_utf8_lossy(&path)),
            kind,
        };
        Ok(self.compare(image, own)?.into_iter().map(change).collect())
    }

    pub(super) fn compare(&self, image: &Self, own: &[&str]) -> Result<Changes, Error> {
        let mut comparison = Comparison { upper: self.fd(), lower: image.fd(), own, changes: Changes::new() };
        let mut waiting = vec![Vec::new()];
        while let Some(path) = waiting.pop() {
            let compared = comparison.directory(&path, &mut waiting);
            compared.map_err(|error| Error::Entry {
                path: String::from_utf8_lossy(&path).into_owned(),
                source: error.into(),
            })?;
        }
        Ok(comparison.changes)
    }
}

struct Comparison<'a> {
    upper: BorrowedFd<'a>,
    lower: BorrowedFd<'a>,
    own: &'a [&'a str],
    changes: Changes,
}

impl Comparison<'_> {
    fn directory(&mut self, path: &[u8], waiting: &mut Vec<Vec<u8>>) -> Result<(), Errno> {
        let upper = match open_below(self.upper, path) {
            Ok(upper) => upper,
            // A running container removes while we look.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if !path.is_empty() => return Ok(()),
            Err(error) => return Err(error),
        };
        if has(&upper, REDIRECT) {
            // Only a kernel that was told so makes such: what was renamed has its contents elsewhere.
            return Err(Errno::OPNOTSUPP);
        }
        let lower = open_below(self.lower, path).ok();
        let entries =
            names(upper.as_fd()).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        for name in &entries {
            let inside = below(path, name);
            let Ok(stat) = fs::statat(&upper, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let old = lower.as_ref().and_then(|lower| stat_of(lower, name));
            if let Some(kind) = self.kind(&inside, &stat, old.as_ref()) {
                self.note(&inside, kind);
            }
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                waiting.push(inside);
            }
        }
        if let Some(lower) = lower.as_ref().filter(|_| has(&upper, OPAQUE)) {
            // It hides all that the image has there.
            let hidden = names(lower.as_fd()).unwrap_or_default();
            for name in hidden.iter().filter(|name| !entries.contains(name) && stat_of(lower, name).is_some())
            {
                self.note(&below(path, name), ChangeKind::Deleted);
            }
        }
        Ok(())
    }

    fn kind(&self, path: &[u8], stat: &Stat, old: Option<&Stat>) -> Option<ChangeKind> {
        let directory = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        match old {
            Some(_) if is_whiteout(stat) => Some(ChangeKind::Deleted),
            None if is_whiteout(stat) => None,
            // What is below it tells by itself; its own time changes with that.
            Some(old) if directory(stat) && directory(old) => {
                let same = (stat.st_mode, stat.st_uid, stat.st_gid) == (old.st_mode, old.st_uid, old.st_gid);
                (!same).then_some(ChangeKind::Modified)
            }
            Some(_) => Some(ChangeKind::Modified),
            None => {
                let empty = directory(stat) || stat.st_size == 0;
                let own = self.own.iter().any(|own| own.as_bytes().strip_prefix(b"/") == Some(path));
                (!(own && empty)).then_some(ChangeKind::Added)
            }
        }
    }

    fn note(&mut self, path: &[u8], kind: ChangeKind) {
        for (position, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            self.changes.entry(path[..position].to_vec()).or_insert(ChangeKind::Modified);
        }
        self.changes.insert(path.to_vec(), kind);
    }
}

/// A file of the image. In a layer by itself, a mark of a deleted one is none.
fn stat_of(lower: &OwnedFd, name: &[u8]) -> Option<Stat> {
    fs::statat(lower, name, AtFlags::SYMLINK_NOFOLLOW).ok().filter(|stat| !is_whiteout(stat))
}

fn has(directory: &OwnedFd, attribute: &str) -> bool {
    let mut value = [0; 16];
    fs::fgetxattr(directory, attribute, value.as_mut_slice()).is_ok_and(|length| length > 0)
}

fn below(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}
