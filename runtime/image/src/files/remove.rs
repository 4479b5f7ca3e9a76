//! Removing what is in the way.

use std::os::fd::BorrowedFd;

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// How often a directory is emptied again in which something was made meanwhile.
const ATTEMPTS: usize = 16;

/// Removes `name` with all that is below it. Links are removed, not followed.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error),
    }
    for _ in 0..ATTEMPTS {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = fs::openat(parent, name, flags, Mode::empty())?;
        for entry in fs::Dir::read_from(&directory)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                // Each level holds a descriptor: their limit bounds the recursion.
                remove(std::os::fd::AsFd::as_fd(&directory), entry.file_name().to_bytes())?;
            }
        }
        match fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY) => {}
            Err(Errno::NOENT) => return Ok(()),
            result => return result,
        }
    }
    Err(Errno::NOTEMPTY)
}
