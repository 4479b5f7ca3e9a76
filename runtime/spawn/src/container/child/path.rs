//! Paths in the container, resolved by the kernel inside the container's root and nowhere else.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, mkdirat, mknodat, openat2};
use rustix::io::Errno;

use super::Child;
use crate::container::step::Target;

/// The kernel answers EAGAIN when a rename anywhere raced with a `..`; more than this is no accident.
const RETRIES: usize = 128;

/// Opens `path` below `root`, following links within it.
pub(super) fn open_in(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let resolve = resolve | ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut result = Err(Errno::AGAIN);
    for _ in 0..RETRIES {
        result = openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
        if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    result
}

impl Child<'_> {
    /// An `O_PATH` descriptor of the target, which is made, parents included, if it is missing. The last component is
    /// made only where no link can interfere: relative to its open parent, and only if nothing has that name.
    pub(super) fn target(&self, target: &Target) -> Result<OwnedFd, Errno> {
        let root = self.root()?;
        let resolve = if target.plain { ResolveFlags::NO_SYMLINKS } else { ResolveFlags::empty() };
        let Some((whole, _)) = target.prefixes.last() else {
            return rustix::io::fcntl_dupfd_cloexec(root, 3);
        };
        match open_in(root, whole, OFlags::PATH, resolve) {
            Err(Errno::NOENT) => {}
            result => return result,
        }
        let mut parent = rustix::io::fcntl_dupfd_cloexec(root, 3)?;
        for (number, (prefix, name)) in target.prefixes.iter().enumerate() {
            let file = target.file && number + 1 == target.prefixes.len();
            parent = match open_in(root, prefix, OFlags::PATH, resolve) {
                Err(Errno::NOENT) => {
                    make(parent.as_fd(), name, file)?;
                    open_in(parent.as_fd(), name, OFlags::PATH | OFlags::NOFOLLOW, ResolveFlags::NO_SYMLINKS)?
                }
                result => result?,
            };
        }
        Ok(parent)
    }
}

fn make(parent: BorrowedFd<'_>, name: &CStr, file: bool) -> Result<(), Errno> {
    let made = if file {
        mknodat(parent, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0)
    } else {
        mkdirat(parent, name, Mode::from_raw_mode(0o755))
    };
    match made {
        // Somebody else made it, or a link that leads nowhere has the name; opening it tells.
        Err(Errno::EXIST) => Ok(()),
        result => result,
    }
}
