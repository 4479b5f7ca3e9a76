//! The spawner: a small single-threaded process that forks a shim for every container.
//!
//! It is the daemon's own executable, entered again before any thread exists, so that a shim is one cheap fork that
//! shares its pages with all others, and no thread of the daemon is ever forked. The daemon sends each
//! [`ShimRequest`] in one datagram, with the shim's end of a control connection; the shim answers there. The spawner
//! exits when the daemon does. Shims stay.

mod launch;
mod server;
mod transfer;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use server::spawner_main;

use crate::shim::{Network, ShimRequest};

/// The hidden first argument that makes the binary call [`spawner_main`].
pub const SPAWNER_ARG: &str = "--beeline-spawner";

/// Why a container could not be handed to the spawner.
#[derive(Debug, thiserror::Error)]
pub enum SpawnerError {
    /// The executable could not be protected from the containers.
    #[error("mount {} read-only for the spawner: Linux 5.12 and CAP_SYS_ADMIN are needed", exe.display())]
    Protect {
        /// The executable.
        exe: PathBuf,
        /// The system call's error.
        source: io::Error,
    },
    /// The spawner could not be started.
    #[error("start the spawner from {}", exe.display())]
    Launch {
        /// The executable.
        exe: PathBuf,
        /// The system call's error.
        source: io::Error,
    },
    /// The request could not be sent.
    #[error("send the request for container {id} to the spawner")]
    Send {
        /// The container's id.
        id: String,
        /// The system call's error.
        source: io::Error,
    },
    /// The request is larger than a datagram may be.
    #[error(
        "the request for container {id} has {size} bytes, more than {}: its image has too many layers",
        transfer::MAX_REQUEST
    )]
    TooLarge {
        /// The container's id.
        id: String,
        /// The request's size in bytes.
        size: usize,
    },
    /// [`Network::Fd`] came without a descriptor, or a descriptor without it.
    #[error(
        "the request for container {id} names network {network:?}, which does not fit the descriptor given"
    )]
    Network {
        /// The container's id.
        id: String,
        /// What was named.
        network: Network,
    },
}

/// The daemon's handle on its spawner. Dropping it ends the spawner, not the shims.
#[derive(Debug)]
pub struct Spawner {
    exe: PathBuf,
    running: Mutex<Running>,
}

/// A spawner process and the socket to it.
#[derive(Debug)]
struct Running {
    /// Taken only when the process is ended.
    socket: Option<OwnedFd>,
    process: Child,
}

impl Spawner {
    /// Starts `exe SPAWNER_ARG`, which has to call [`spawner_main`] before it starts a thread.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn launch(exe: &Path) -> Result<Self, SpawnerError> {
        Ok(Self { exe: exe.to_owned(), running: Mutex::new(launch::launch(exe)?) })
    }

    /// Has a shim make the container that `request` describes, in the network namespace `netns` if the request says
    /// [`Network::Fd`]. The answers come over the returned connection, see [`crate::protocol`]; if it is closed before
    /// `start`, the shim undoes everything. Blocks for a datagram's way. A spawner that has died is replaced.
    ///
    /// # Errors
    /// The spawner cannot be reached or replaced, or the request cannot be sent.
    pub fn create(
        &self,
        request: &ShimRequest,
        netns: Option<BorrowedFd<'_>>,
    ) -> Result<UnixStream, SpawnerError> {
        if netns.is_some() != (request.network == Network::Fd) {
            return Err(SpawnerError::Network { id: request.id.clone(), network: request.network });
        }
        let failed = |source| SpawnerError::Send { id: request.id.clone(), source };
        let message = transfer::encode(request)?;
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let mut running = self.lock();
        let sent = match running.send(&message, theirs.as_fd(), netns) {
            Err(error) if is_gone(&error) => {
                *running = launch::launch(&self.exe)?;
                running.send(&message, theirs.as_fd(), netns)
            }
            sent => sent,
        };
        sent.map_err(failed)?;
        Ok(ours)
    }

    /// The spawner's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.lock().process.id()
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        // A panic elsewhere leaves a process and a socket, both still valid.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn send(&self, message: &[u8], control: BorrowedFd<'_>, netns: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        transfer::send(socket.as_fd(), message, control, netns)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The end of its socket ends the spawner, if it has not died already; it blocks on nothing else.
        drop(self.socket.take());
        let _ = self.process.wait();
    }
}

/// Whether sending failed because the spawner has died.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::ConnectionRefused
    )
}
