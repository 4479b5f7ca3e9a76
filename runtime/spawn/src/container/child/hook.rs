//! Hooks that init runs.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{SeekFrom, seek};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::Child;
use crate::container::step::Hook;
use crate::container::syscall::{self, close_from, dup_to};

/// A shell's code for a command that could not be executed.
const NOT_EXECUTED: i32 = 127;

impl Child<'_> {
    /// Runs a hook to its end, with the container's state for input.
    pub(super) fn hook(&mut self, hook: &Hook) -> Result<(), Errno> {
        let state = if hook.created { self.created_state } else { self.creating_state };
        let state = state.ok_or(Errno::BADF)?;
        seek(state, SeekFrom::Start(0))?;
        let Some(cloned) = syscall::fork()? else {
            let ready = dup_to(state, 0, false).and_then(|()| close_from(3));
            if ready.is_ok() {
                syscall::execve(&hook.path, &hook.arguments, &hook.environment);
            }
            syscall::exit(NOT_EXECUTED);
        };
        if let Some(limit) = hook.timeout {
            end_after(&cloned.pidfd, limit)?;
        }
        let wait = || waitid(WaitId::PidFd(cloned.pidfd.as_fd()), WaitIdOptions::EXITED);
        let status = retry_on_intr(wait)?.ok_or(Errno::CHILD)?;
        match (status.exit_status(), status.terminating_signal()) {
            (Some(0), _) => Ok(()),
            (Some(code), _) => {
                self.note_number(b"exit status ", code);
                Err(Errno::CANCELED)
            }
            (None, signal) => {
                self.note_number(b"signal ", signal.unwrap_or(0));
                Err(Errno::CANCELED)
            }
        }
    }

    fn note_number(&mut self, text: &[u8], number: i32) {
        let number = number.unsigned_abs().min(999);
        let digit = |power: u32| b'0' + u8::try_from(number / power % 10).unwrap_or(0);
        let digits = [digit(100), digit(10), digit(1)];
        let skip = if number < 10 { 2 } else { usize::from(number < 100) };
        let mut note = [0; 32];
        let length = text.len() + 3 - skip;
        for (to, from) in note.iter_mut().zip(text.iter().chain(digits.iter().skip(skip))) {
            *to = *from;
        }
        self.note(note.get(..length).unwrap_or_default());
    }
}

/// Kills a process that is still there after `limit` milliseconds.
fn end_after(pidfd: &OwnedFd, limit: i32) -> Result<(), Errno> {
    let limit = i64::from(limit);
    let limit = Timespec { tv_sec: limit / 1000, tv_nsec: limit % 1000 * 1_000_000 };
    if poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&limit))? > 0 {
        return Ok(());
    }
    pidfd_send_signal(pidfd, Signal::KILL)?;
    retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED))?;
    Err(Errno::TIMEDOUT)
}
