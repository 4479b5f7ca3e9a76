//! Staying with a process until it ends: its terminal, signals for it, its exit code.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sys::signal::{SigSet, Signal as Number};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use super::{Error, parse_signal};

/// Signals that are meant for the container's process.
const FORWARDED: [Number; 8] = [
    Number::SIGHUP,
    Number::SIGINT,
    Number::SIGQUIT,
    Number::SIGTERM,
    Number::SIGUSR1,
    Number::SIGUSR2,
    Number::SIGCONT,
    Number::SIGWINCH,
];

/// How a process that was stayed with has ended: a shell's code for it.
pub type Ended = u8;

/// Collects signals from before the process is made.
#[derive(Debug)]
pub(super) struct Foreground {
    signals: SignalFd,
}

/// The caller's terminal as it was, restored when dropped.
struct RawTerminal(Termios);

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}

fn failed(operation: &'static str, error: impl Into<io::Error>) -> Error {
    Error::io(operation, Path::new("the container's process"), error)
}

impl Foreground {
    pub(super) fn new() -> Result<Self, Error> {
        let mut set = SigSet::empty();
        FORWARDED.iter().for_each(|signal| set.add(*signal));
        let signals = set
            .thread_block()
            .and_then(|()| SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK));
        Ok(Self { signals: signals.map_err(|error| failed("collect signals for", error))? })
    }

    /// Stays with a child of this process until it ends.
    pub(super) fn accompany(mut self, child: &OwnedFd, terminal: Option<OwnedFd>) -> Result<Ended, Error> {
        let raw = terminal.as_ref().and_then(|_| raw_mode());
        let terminal = terminal.map(std::fs::File::from);
        if let Some(terminal) = &terminal {
            resize(terminal.as_fd());
        }
        let mut input = terminal.is_some();
        loop {
            let stdin = io::stdin();
            let mut polled = vec![
                PollFd::new(child, PollFlags::IN),
                PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            ];
            polled.extend(terminal.as_ref().map(|terminal| PollFd::new(terminal, PollFlags::IN)));
            polled.extend(input.then(|| PollFd::new(&stdin, PollFlags::IN)));
            retry_on_intr(|| poll(&mut polled, None)).map_err(|error| failed("wait for", error))?;
            let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
            if ready.get(1) == Some(&true) {
                self.forward(child, terminal.as_ref())?;
            }
            if let (Some(terminal), Some(true)) = (&terminal, ready.get(2)) {
                show(terminal);
            }
            if let (Some(terminal), Some(true)) = (&terminal, ready.get(3)) {
                input = type_in(terminal);
            }
            if ready.first() == Some(&true) {
                break;
            }
        }
        if let Some(terminal) = &terminal {
            drain(terminal);
        }
        drop(raw);
        let wait = || waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED);
        let status = retry_on_intr(wait).map_err(|error| failed("wait for", error))?;
        let code = status.map_or(255, |status| {
            status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0))
        });
        Ok(u8::try_from(code).unwrap_or(255))
    }

    fn forward(&mut self, child: &OwnedFd, terminal: Option<&std::fs::File>) -> Result<(), Error> {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let number = info.ssi_signo;
            match terminal {
                Some(terminal) if number == Number::SIGWINCH as u32 => resize(terminal.as_fd()),
                _ => {
                    // It may have ended just now.
                    let _ = pidfd_send_signal(child, parse_signal(&number.to_string())?);
                }
            }
        }
        Ok(())
    }
}

fn raw_mode() -> Option<RawTerminal> {
    let stdin = io::stdin();
    if !isatty(&stdin) {
        return None;
    }
    let before = tcgetattr(&stdin).ok()?;
    let mut raw = before.clone();
    raw.make_raw();
    tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
    Some(RawTerminal(before))
}

fn resize(terminal: BorrowedFd<'_>) {
    if let Ok(size) = tcgetwinsize(io::stdin()) {
        // It stays as large as it is.
        let _ = tcsetwinsize(terminal, size);
    }
}

/// Copies what the terminal has to say; whether there was something.
fn show(mut terminal: &std::fs::File) -> bool {
    let mut buffer = [0; 8192];
    match terminal.read(&mut buffer) {
        Ok(length) if length > 0 => {
            let mut output = io::stdout().lock();
            let text = buffer.get(..length).unwrap_or_default();
            output.write_all(text).and_then(|()| output.flush()).is_ok()
        }
        _ => false,
    }
}

/// Copies what the caller types; whether there may be more.
fn type_in(mut terminal: &std::fs::File) -> bool {
    let mut buffer = [0; 4096];
    match retry_on_intr(|| rustix::io::read(io::stdin(), &mut buffer)) {
        Ok(0) | Err(Errno::IO) => false,
        Ok(length) => terminal.write_all(buffer.get(..length).unwrap_or_default()).is_ok(),
        Err(_) => false,
    }
}

/// Shows what was written before the end.
fn drain(terminal: &std::fs::File) {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    while matches!(poll(&mut [PollFd::new(terminal, PollFlags::IN)], Some(&now)), Ok(1..)) && show(terminal) {
    }
}
