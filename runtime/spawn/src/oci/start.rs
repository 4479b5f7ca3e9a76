//! Starting a container that waits.

use std::io;

use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};

use super::entry::Entry;
use super::record::{Record, Status, Summary};
use super::{Error, Runtime, hooks};
use crate::container::{await_start, open_fence};

impl Runtime {
    /// Has a container execute its command, and returns when it does.
    ///
    /// # Errors
    /// It does not wait for that, the command cannot be executed, or a hook failed; then the container is stopped.
    pub fn start(&self, id: &str) -> Result<(), Error> {
        let entry = self.entry(id)?;
        let _lock = entry.lock()?;
        let record = entry.record()?;
        let status = entry.status(&record);
        if status != Status::Created {
            return Err(Error::State { operation: "start", id: id.to_owned(), status });
        }
        let (start, started) = entry.fence();
        // Opened before the fence is, so that no end is missed; blocking only then, so that nobody is waited for.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let answer =
            open(&started, flags, Mode::empty()).map_err(|error| Error::io("open", &started, error))?;
        fcntl_setfl(&answer, OFlags::empty()).map_err(|error| Error::io("open", &started, error))?;
        match open_fence(&start) {
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
                return Err(Error::State { operation: "start", id: id.to_owned(), status: Status::Stopped });
            }
            result => result.map_err(|error: io::Error| Error::io("write", &start, error))?,
        }
        let executed = await_start(&answer, &record.names);
        entry.remove_fence()?;
        executed?;
        self.after_start(&entry, &record, &entry.spec()?)
    }

    /// Runs the hooks that are due now. If one fails, the container is ended.
    pub(super) fn after_start(&self, entry: &Entry, record: &Record, spec: &Spec) -> Result<(), Error> {
        let Some(of) = spec.hooks().as_ref().filter(|hooks| hooks.poststart().is_some()) else {
            return Ok(());
        };
        let state = Summary::new(record, entry.status(record));
        let ran = hooks::run(of.poststart().as_ref(), "poststart", &state, &record.bundle);
        if ran.is_err() {
            // What the hook said says more than what comes of this.
            let _ = record.cgroup().map(|cgroup| cgroup.kill());
        }
        ran
    }
}
