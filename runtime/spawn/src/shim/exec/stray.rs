//! Children that nobody told of: a runner may be killed between its clone and its report.

use nix::sys::wait::{Id, WaitPidFlag, waitid};

use crate::shim::supervisor::Supervisor;

/// How many are reaped in one go.
const MOST: usize = 64;

impl Supervisor {
    /// Reaps children that have exited and are nobody's. Init's exit would wait for them for ever.
    pub(super) fn reap_strays(&self) {
        for _ in 0..MOST {
            let exited = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
            let Ok(status) = waitid(Id::All, exited | WaitPidFlag::WNOWAIT) else { return };
            let Some(pid) = status.pid() else { return };
            // One that is known is waited for where it is known; others are behind it until then.
            let number = pid.as_raw().cast_unsigned();
            if number == self.pid || self.execs.iter().any(|exec| exec.is_process(number)) {
                return;
            }
            let _ = waitid(Id::Pid(pid), exited);
        }
    }
}
