//! The process between parent and child: it joins what only children enter, and clones init in its own place, so that
//! init is the parent's child and the parent is where it was.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use super::{Child, run};
use crate::container::plan::Plan;
use crate::container::sync;
use crate::container::syscall::{self, CHILD_FAILED, Cloned};

/// Clones init by way of a process that carries the first steps of the plan out. A failure of these is told over the
/// socket, as any other; then there is no init.
pub(super) fn spawn(
    plan: &mut Plan,
    socket: BorrowedFd<'_>,
    parent: &sync::Parent,
    cgroup: Option<&OwnedFd>,
) -> Result<Option<Cloned>, Errno> {
    let (told, tell) = pipe_with(PipeFlags::CLOEXEC)?;
    let stage = || between(plan, socket, parent, tell.as_fd());
    let stage = syscall::clone(0, cgroup.map(|group| group.as_fd()), stage)?;
    drop(tell);
    let mut pid = [0; 4];
    let length = retry_on_intr(|| read(&told, &mut pid))?;
    retry_on_intr(|| waitid(WaitId::PidFd(stage.pidfd.as_fd()), WaitIdOptions::EXITED))?;
    match Pid::from_raw(i32::from_ne_bytes(pid)).filter(|_| length == 4) {
        // Nobody but this process waits for it, so the number is still its own.
        Some(pid) => Ok(Some(Cloned { pid, pidfd: pidfd_open(pid, PidfdFlags::empty())? })),
        None => Ok(None),
    }
}

fn between(plan: &mut Plan, socket: BorrowedFd<'_>, parent: &sync::Parent, tell: BorrowedFd<'_>) {
    let mut child = Child::new(socket, plan);
    for (number, step) in plan.steps.iter().enumerate().take(plan.stage) {
        if let Err(error) = child.step(&step.op) {
            sync::tell_failed(socket, number, error, child.said());
            syscall::exit(CHILD_FAILED);
        }
    }
    drop(child);
    let flags = plan.clone_flags | syscall::CLONE_PARENT;
    match syscall::clone(flags, None, || run(plan, socket, parent)) {
        Ok(cloned) => {
            // Without a parent there is nobody to tell, and init will see that, too.
            let _ = write(tell, &cloned.pid.as_raw_nonzero().get().to_ne_bytes());
            syscall::exit(0)
        }
        Err(error) => {
            sync::tell_failed(socket, plan.stage.saturating_sub(1), error, b"clone");
            syscall::exit(CHILD_FAILED)
        }
    }
}
