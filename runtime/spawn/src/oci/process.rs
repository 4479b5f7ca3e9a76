//! Whether a process that was remembered is still there.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// When a process was born, in the kernel's ticks since boot. None if it has ended, waited for or not.
pub(super) fn born(pid: i32) -> Option<u64> {
    if pid <= 0 {
        return None;
    }
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may have blanks and parentheses of its own.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// A handle on the process, if it is still the one that was born then.
pub(super) fn open(pid: i32, when: u64) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // What is there now is what the handle is of.
    (born(pid) == Some(when)).then_some(pidfd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_and_birth() {
        let own = std::process::id().cast_signed();
        let when = born(own).unwrap();
        assert!(when > 0);
        assert!(open(own, when).is_some());
        assert!(open(own, when + 1).is_none());
        assert_eq!(born(0), None);
        assert_eq!(born(i32::MAX), None);
    }
}
