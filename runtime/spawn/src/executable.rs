//! Keeping this program's own file from containers.
//!
//! A process on its way into a container still executes it, and `/proc/PID/exe` leads a container's root there; that must
//! not be a way to write to it (CVE-2019-5736).

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::container::set_attributes;

const OWN: &str = "/proc/self/exe";

/// The executable on a read-only mount of its own, which is attached nowhere and lives while an executing process holds
/// it.
pub(crate) fn protect(exe: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(rustix::fs::CWD, exe, flags)?;
    let attributes = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    set_attributes(mount.as_fd(), attributes, false)?;
    Ok(mount)
}

/// Executes this program anew from a read-only mount, with the same arguments, unless it is on one already. Returns only
/// then, or with an error.
///
/// # Errors
/// The mount cannot be made: that takes Linux 5.12 and `CAP_SYS_ADMIN`.
pub fn reenter_protected(args: &[OsString]) -> io::Result<()> {
    if statvfs(OWN)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let protected = protect(Path::new(OWN))?;
    let mut command = Command::new(format!("/proc/self/fd/{}", protected.as_raw_fd()));
    if let Some((name, rest)) = args.split_first() {
        command.arg0(name).args(rest);
    }
    Err(command.exec())
}
