//! The directory that a layer is extracted into. Names from the archive are resolved by the kernel inside of it
//! (`openat2` with `RESOLVE_IN_ROOT`): neither `..` nor a symbolic link leads out.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// A rename anywhere on the machine can make the kernel give up a lookup; it succeeds when repeated.
const LOOKUPS: usize = 1024;

/// Directories that an archive does not list, but puts files in.
const IMPLIED_MODE: Mode = Mode::from_raw_mode(0o755);

/// Opens `path`, seen from inside of `root`.
pub(crate) fn open_in(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..LOOKUPS {
        match fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            result => return Ok(result?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// A directory in the layer, and its path in it without symbolic links.
pub(super) struct Parent {
    pub(super) fd: OwnedFd,
    pub(super) path: Vec<u8>,
}

/// The directory, with the last parent kept open: archives list a directory's files one after another.
pub(super) struct Tree {
    root: OwnedFd,
    /// Where `root` is, to tell a file's path inside of it.
    prefix: Vec<u8>,
    last: Option<(Vec<u8>, Parent)>,
}

impl Tree {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::openat(CWD, directory, flags, Mode::empty())?;
        let prefix = location(root.as_fd())?;
        Ok(Self { root, prefix, last: None })
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The directory `path`, made with what leads to it where the archive did not.
    pub(super) fn parent(&mut self, path: &[u8]) -> io::Result<&Parent> {
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let fd = self.open_or_make(path)?;
            let location = location(fd.as_fd())?;
            let inside = location.strip_prefix(self.prefix.as_slice());
            let inside =
                inside.ok_or_else(|| io::Error::other("the directory was moved during extraction"))?;
            let parent = Parent { path: inside.strip_prefix(b"/").unwrap_or(inside).to_vec(), fd };
            self.last = Some((path.to_vec(), parent));
        }
        self.last.as_ref().map(|(_, parent)| parent).ok_or_else(|| Errno::NOENT.into())
    }

    /// To be called when a directory or a link was moved away: the directory kept open may be below it.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    fn open_or_make(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match open_in(self.root(), path, flags) {
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
            result => return result,
        }
        let (above, name) = split_path(path);
        // Archives are bounded by PATH_MAX, and so is this recursion: one level a component.
        let above = if above.is_empty() { self.root.try_clone()? } else { self.open_or_make(above)? };
        match fs::mkdirat(&above, name, IMPLIED_MODE) {
            Ok(()) => fs::chmodat(&above, name, IMPLIED_MODE, AtFlags::empty())?,
            Err(Errno::EXIST) => {
                return Err(io::Error::other("its directory is a symbolic link that leads nowhere"));
            }
            Err(error) => return Err(error.into()),
        }
        open_in(self.root(), path, flags)
    }
}

/// Where an open directory is. /proc is mounted wherever containers run.
fn location(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    use std::os::fd::AsRawFd;
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    Ok(link.as_os_str().as_bytes().to_vec())
}

/// A path as directory and last component.
pub(crate) fn split_path(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// `directory` and `name` as one path.
pub(crate) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// An entry's name without leading slash, empty and `.` components; none when it holds `..` or a null byte, for which
/// no honest archive has a use.
pub(crate) fn clean(name: &[u8]) -> Option<Vec<u8>> {
    if name.contains(&0) {
        return None;
    }
    let mut components: Vec<&[u8]> = Vec::new();
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return None,
            name => components.push(name),
        }
    }
    Some(components.join(&b'/'))
}

/// Whether `name` is overlayfs's mark of a deleted file: a character device 0:0.
pub(crate) fn is_whiteout(stat: &fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_relative_and_without_dots() {
        assert_eq!(clean(b"./usr//bin/./sh/").unwrap(), b"usr/bin/sh");
        assert_eq!(clean(b"/etc/passwd").unwrap(), b"etc/passwd");
        assert_eq!(clean(b"./").unwrap(), b"");
        assert_eq!(clean(b"a/../b"), None);
        assert_eq!(clean(b".."), None);
        assert_eq!(clean(b"a\0b"), None);
        assert_eq!(clean(b"..a/b..").unwrap(), b"..a/b..");
    }

    proptest! {
        #[test]
        fn no_clean_name_leads_up(name in prop::collection::vec(prop::sample::select(b"./ab".to_vec()), 0..20)) {
            if let Some(clean) = clean(&name) {
                prop_assert!(clean.is_empty() || clean.split(|b| *b == b'/').all(|c| !matches!(c, b"" | b"." | b"..")));
            }
        }
    }

    #[test]
    fn links_resolve_inside_of_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("absolute")).unwrap();
        std::os::unix::fs::symlink("../../../..", root.join("up")).unwrap();
        let mut tree = Tree::open(&root).unwrap();
        assert_eq!(tree.parent(b"absolute").unwrap().path, b"etc");
        assert_eq!(tree.parent(b"up").unwrap().path, b"");
        assert_eq!(tree.parent(b"up/made/here").unwrap().path, b"made/here");
        assert!(root.join("made/here").is_dir());
    }

    #[test]
    fn a_link_to_nowhere_is_no_directory() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("gone", root.path().join("link")).unwrap();
        let mut tree = Tree::open(root.path()).unwrap();
        assert!(tree.parent(b"link/sub").is_err());
    }
}
