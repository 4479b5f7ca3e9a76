//! The socket later daemons find a shim by.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};

/// The socket's name in the container's run directory.
const NAME: &str = "shim.sock";

/// A bound socket, open to the daemon's user only.
#[derive(Debug)]
pub(super) struct Listener {
    directory: OwnedFd,
    pub(super) socket: UnixListener,
}

impl Listener {
    /// Binds `run_dir/shim.sock` in the place of what an earlier shim may have left.
    pub(super) fn bind(run_dir: &Path) -> io::Result<Self> {
        let directory = open(run_dir)?;
        match rustix::fs::unlinkat(&directory, NAME, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
        let socket = UnixListener::bind(address(&directory));
        rustix::process::umask(umask);
        let socket = socket?;
        socket.set_nonblocking(true)?;
        Ok(Self { directory, socket })
    }

    /// The next connection that waits, if any.
    pub(super) fn accept(&self) -> io::Result<UnixStream> {
        self.socket.accept().map(|(stream, _)| stream)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Gone already if the engine removed the run directory first.
        let _ = rustix::fs::unlinkat(&self.directory, NAME, AtFlags::empty());
    }
}

/// Connects to the shim of the container with this run directory.
///
/// # Errors
/// There is no shim: `NotFound` after an orderly end, `ConnectionRefused` if it was killed. The exit file tells more.
pub fn connect(run_dir: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(address(&open(run_dir)?))
}

fn open(run_dir: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(run_dir, flags, Mode::empty())?)
}

/// The socket's path by way of its directory's descriptor: a Unix address holds 108 bytes, and a run directory with
/// a container's id in it can be longer.
fn address(directory: &OwnedFd) -> String {
    format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_long_path_works_and_the_socket_is_private_and_goes_with_its_listener() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = dir.path().join("r".repeat(120)).join("c".repeat(120));
        std::fs::create_dir_all(&run_dir).unwrap();
        let path = run_dir.join(NAME);
        std::fs::write(&path, "left over").unwrap();
        let listener = Listener::bind(&run_dir).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        connect(&run_dir).unwrap();
        listener.accept().unwrap();
        drop(listener);
        assert!(!path.exists());
        assert_eq!(connect(&run_dir).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
