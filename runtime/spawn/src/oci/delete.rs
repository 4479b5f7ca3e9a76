//! Removing containers.

use std::os::fd::AsFd as _;

use oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

use super::entry::Entry;
use super::record::{Record, Status, Summary};
use super::{Error, Runtime, hooks, process};

/// How long init may take to end when it is killed, in seconds.
const PATIENCE: i64 = 10;

impl Runtime {
    /// Removes a container that has ended or was not started; any other, and one that is not there, only if `force` says so.
    /// Returns what went wrong on the way without keeping the container: hooks that failed.
    ///
    /// # Errors
    /// It runs, or something of it cannot be removed.
    pub fn delete(&self, id: &str, force: bool) -> Result<Vec<Error>, Error> {
        let entry = match self.entry(id) {
            Err(Error::Missing { .. }) if force => return self.remove_remains(id).map(|()| Vec::new()),
            entry => entry?,
        };
        let _lock = entry.lock()?;
        let record = entry.record()?;
        let status = entry.status(&record);
        if !force && !matches!(status, Status::Stopped | Status::Created | Status::Creating) {
            return Err(Error::State { operation: "delete", id: id.to_owned(), status });
        }
        let spec = entry.spec().unwrap_or_default();
        self.destroy(&entry, &record, &spec)
    }

    /// Ends all of a container's processes, and undoes what `create` did.
    pub(super) fn destroy(&self, entry: &Entry, record: &Record, spec: &Spec) -> Result<Vec<Error>, Error> {
        if let Some(init) = process::open(record.pid, record.born) {
            // It may end by itself before the signal comes.
            let _ = pidfd_send_signal(init.as_fd(), Signal::KILL);
            record.cgroup()?.thaw_for_kill();
            let limit = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
            let ended = poll(&mut [PollFd::new(&init, PollFlags::IN)], Some(&limit));
            if !matches!(ended, Ok(1..)) {
                return Err(Error::Busy { id: entry.id().to_owned() });
            }
        }
        if !record.cgroup.is_empty() {
            let cgroup = record.cgroup()?;
            // Without a process id namespace of its own, others outlive init.
            cgroup.kill()?;
            cgroup.remove()?;
        }
        let of = spec.hooks().as_ref().and_then(|hooks| hooks.poststop().as_ref());
        let state = Summary::new(record, Status::Stopped);
        entry.remove()?;
        Ok(hooks::run_all(of, "poststop", &state, &record.bundle))
    }
}
