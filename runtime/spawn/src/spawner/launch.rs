//! Starting the spawner process.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{Running, SPAWNER_ARG, SpawnerError};
use crate::executable::protect;

/// Tells the C library's allocator what suits processes that parse much once and then hardly do anything, by the hundred:
/// freed pieces are put together again, so that whole pages go back when a shim trims its memory, and buffers have pages
/// of their own, of which only those count that were written to.
const ALLOCATOR: &str =
    "glibc.malloc.tcache_count=0:glibc.malloc.mmap_threshold=16384:glibc.malloc.top_pad=4096";

pub(super) fn launch(exe: &Path) -> Result<Running, SpawnerError> {
    let protected = protect(exe).map_err(|source| SpawnerError::Protect { exe: exe.to_owned(), source })?;
    start(&protected).map_err(|source| SpawnerError::Launch { exe: exe.to_owned(), source })
}

fn start(exe: &OwnedFd) -> io::Result<Running> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // The socket is the spawner's standard input: the one descriptor an exec needs no unsafe code to pass on. Errors
    // go where the daemon's go.
    let process = Command::new(format!("/proc/self/fd/{}", exe.as_raw_fd()))
        .arg0("beeline-spawner")
        .arg(SPAWNER_ARG)
        .env("GLIBC_TUNABLES", ALLOCATOR)
        .stdin(Stdio::from(File::from(theirs)))
        .stdout(Stdio::null())
        .current_dir("/")
        .spawn()?;
    Ok(Running { socket: Some(ours), process })
}
