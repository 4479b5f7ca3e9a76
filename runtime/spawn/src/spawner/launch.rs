//! Starting the spawner process.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{Running, SPAWNER_ARG, SpawnerError};

pub(super) fn launch(exe: &Path) -> Result<Running, SpawnerError> {
    let protected = protect(exe).map_err(|source| SpawnerError::Protect { exe: exe.to_owned(), source })?;
    start(&protected).map_err(|source| SpawnerError::Launch { exe: exe.to_owned(), source })
}

/// The executable on a read-only mount of its own. A process on its way into a container still executes it, and
/// `/proc/PID/exe` leads a container's root there; that must not be a way to write to it (CVE-2019-5736). The mount
/// is attached nowhere and lives while an executing process holds it.
fn protect(exe: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(rustix::fs::CWD, exe, flags)?;
    set_read_only(&mount)?;
    Ok(mount)
}

fn set_read_only(mount: &OwnedFd) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a C string, the attributes live across the call, and their size is the one given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn start(exe: &OwnedFd) -> io::Result<Running> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // The socket is the spawner's standard input: the one descriptor an exec needs no unsafe code to pass on. Errors
    // go where the daemon's go.
    let process = Command::new(format!("/proc/self/fd/{}", exe.as_raw_fd()))
        .arg0("beeline-spawner")
        .arg(SPAWNER_ARG)
        .stdin(Stdio::from(File::from(theirs)))
        .stdout(Stdio::null())
        .current_dir("/")
        .spawn()?;
    Ok(Running { socket: Some(ours), process })
}
