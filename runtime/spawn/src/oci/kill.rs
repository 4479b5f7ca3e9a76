//! Signals to containers.

use std::os::fd::AsFd as _;

use rustix::process::{Pid, Signal, kill_process, pidfd_send_signal};

use super::record::Status;
use super::{Error, Runtime, process};

/// Signals that a C library keeps for itself.
const RESERVED: std::ops::Range<i32> = 32..34;

/// Reads a signal's name, with or without SIG, or its number.
///
/// # Errors
/// There is no such signal.
pub fn parse_signal(text: &str) -> Result<Signal, Error> {
    let unknown = || Error::Request(format!("unknown signal {text:?}"));
    let number = match text.parse::<i32>() {
        Ok(number) => number,
        Err(_) => {
            let name = text.to_ascii_uppercase();
            let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
            name.parse::<nix::sys::signal::Signal>().map_err(|_| unknown())? as i32
        }
    };
    if !(1..=64).contains(&number) || RESERVED.contains(&number) {
        return Err(unknown());
    }
    // SAFETY: the number is a signal's, and none that the C library uses.
    Ok(unsafe { Signal::from_raw_unchecked(number) })
}

impl Runtime {
    /// Sends a signal to a container's init, or to all of its processes.
    ///
    /// # Errors
    /// It has no process.
    pub fn kill(&self, id: &str, signal: Signal, all: bool) -> Result<(), Error> {
        let record = {
            let entry = self.entry(id)?;
            let record = entry.record()?;
            let status = entry.status(&record);
            if status == Status::Creating || (status == Status::Stopped && !all) {
                return Err(Error::NotRunning { id: id.to_owned(), status });
            }
            record
        };
        let cgroup = record.cgroup()?;
        if all {
            for pid in cgroup.processes()?.into_iter().filter_map(Pid::from_raw) {
                // One that has just ended is fine.
                let _ = kill_process(pid, signal);
            }
        } else {
            let gone = || Error::NotRunning { id: id.to_owned(), status: Status::Stopped };
            let init = process::open(record.pid, record.born).ok_or_else(gone)?;
            pidfd_send_signal(init.as_fd(), signal).map_err(|_| gone())?;
        }
        // A frozen process would end only when it goes on.
        if signal == Signal::KILL {
            cgroup.thaw_for_kill();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_a_name_and_a_number() {
        for text in ["TERM", "SIGTERM", "sigterm", "15"] {
            assert_eq!(parse_signal(text).unwrap(), Signal::TERM, "{text}");
        }
        assert_eq!(parse_signal("40").unwrap().as_raw(), 40);
        for text in ["", "0", "65", "33", "NONE", "SIG"] {
            assert!(parse_signal(text).is_err(), "{text:?}");
        }
    }
}
