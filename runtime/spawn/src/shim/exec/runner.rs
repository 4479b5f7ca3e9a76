//! A fork of the shim that makes one exec and ends: whatever it waits for (a file system of the container's that hangs,
//! a program that takes long to load), the shim goes on. What planning takes is gone with it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::unistd::{ForkResult, fork};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, WaitOptions, set_parent_process_death_signal, waitpid};

use super::report::Report;
use crate::container::{self, Membership, Stdio};
use crate::fault::{self, Point};
use crate::protocol::{EXEC_DIR, Exec as Wanted, ExecFile, Failure};
use crate::shim::asking::Asking;
use crate::shim::{failure, set_alarm, setup};

/// How long making an exec may take, in seconds.
const LIMIT: u32 = 60;

/// A runner, as its shim has it.
#[derive(Debug)]
pub(super) struct Runner {
    pid: Option<Pid>,
    socket: OwnedFd,
}

/// Why there is no exec.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("read the exec's process from {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("understand the exec's process in {}", path.display())]
    Understand { path: PathBuf, source: serde_json::Error },
    #[error("make the exec's standard streams")]
    Streams(#[source] io::Error),
    #[error(transparent)]
    Container(#[from] container::Error),
    #[error("tell the shim")]
    Report(#[source] io::Error),
}

/// What a runner does.
struct Work<'a> {
    path: &'a Path,
    stdin: bool,
    membership: Membership<'a>,
    asking: Option<&'a Asking>,
}

impl Runner {
    /// Forks a runner for what is wanted.
    pub(super) fn fork(
        run_dir: &Path,
        wanted: &Wanted,
        membership: Membership<'_>,
        asking: Option<&Asking>,
    ) -> io::Result<Self> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        // SAFETY: the shim has one thread, so the child may do whatever the parent may.
        match unsafe { fork() }? {
            ForkResult::Child => {
                let path = run_dir.join(EXEC_DIR).join(format!("{}.json", wanted.id));
                let work = Work { path: &path, stdin: wanted.stdin, membership, asking };
                run(&work, theirs.as_fd())
            }
            ForkResult::Parent { child } => Ok(Self { pid: Pid::from_raw(child.as_raw()), socket: ours }),
        }
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What it says next; none when it has gone.
    pub(super) fn report(&self) -> io::Result<Option<(Report, Vec<OwnedFd>)>> {
        Report::receive(self.socket.as_fd())
    }

    /// Waits for its end, which is at hand when it has said its last.
    pub(super) fn wait(&mut self) {
        if let Some(pid) = self.pid.take() {
            let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
        }
    }
}

/// The runner's life.
fn run(work: &Work<'_>, socket: BorrowedFd<'_>) -> ! {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    set_alarm(LIMIT);
    // Copies of the shim's ends of pipes and connections would keep their closing from being seen.
    close_but(&mut [work.membership.init.as_raw_fd(), socket.as_raw_fd()]);
    let report = match make(work, socket) {
        Ok(()) => Report::Started,
        Err(error) => Report::Failed(failure_of(&error)),
    };
    // Without a shim there is nobody to tell, and no container.
    let _ = report.send(socket, &[]);
    // SAFETY: the call ends the process, which leaves nothing to the owners of the descriptors that were closed.
    unsafe { libc::_exit(0) }
}

fn make(work: &Work<'_>, socket: BorrowedFd<'_>) -> Result<(), Error> {
    let Work { path, stdin, membership, asking } = *work;
    let mut asking = asking.cloned();
    let ExecFile { process, groups } = read(path)?;
    fault::fail(Point::RunnerClone).map_err(Error::Streams)?;
    let tell = |report: Report, fds: &[BorrowedFd<'_>]| report.send(socket, fds).map_err(Error::Report);
    let clone = |stdio| {
        let cloned = container::join(&process, groups.clone(), stdio, membership)?;
        let pid = cloned.pid().as_raw_nonzero().get().cast_unsigned();
        // First of all: the shim has to wait for it, whatever becomes of it.
        tell(Report::Cloned { pid }, &[cloned.pidfd()])?;
        Ok::<_, Error>(cloned)
    };
    let created = if process.terminal().unwrap_or(false) {
        let created = clone(Stdio::Terminal)?.attended(&mut asking)?;
        let console = created.console().ok_or_else(|| Error::Streams(io::ErrorKind::NotFound.into()))?;
        tell(Report::Streams { stdin, terminal: true }, &[console])?;
        created
    } else {
        let (stdio, input, sources) = setup::pipes(stdin, membership.root).map_err(Error::Streams)?;
        let cloned = clone(stdio)?;
        let input = input.as_ref().map(AsFd::as_fd);
        let ends: Vec<_> = input.into_iter().chain(sources.iter().map(|source| source.fd.as_fd())).collect();
        tell(Report::Streams { stdin, terminal: false }, &ends)?;
        cloned.attended(&mut asking)?
    };
    created.start()?;
    Ok(())
}

fn read(path: &Path) -> Result<ExecFile, Error> {
    let text = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|source| Error::Understand { path: path.to_owned(), source })
}

fn failure_of(error: &Error) -> Failure {
    match error {
        Error::Container(error) => failure::of_container(error),
        error => failure::of_setup(error),
    }
}

/// Closes every descriptor above the standard ones but these.
fn close_but(kept: &mut [RawFd]) {
    kept.sort_unstable();
    let mut first = 3;
    let ranges = kept.iter().map(|fd| fd.cast_unsigned()).chain([libc::c_uint::MAX]);
    for kept in ranges {
        if first < kept {
            // SAFETY: the process ends without returning to the owners of these descriptors, and uses none of them.
            unsafe { libc::close_range(first, kept - 1, 0) };
        }
        first = kept.saturating_add(1);
    }
}
