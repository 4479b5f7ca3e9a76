//! Freezing a container's processes.

use super::record::Status;
use super::{Error, Runtime};

impl Runtime {
    /// Freezes a running container's processes.
    ///
    /// # Errors
    /// It does not run, or the host has no freezer.
    pub fn pause(&self, id: &str) -> Result<(), Error> {
        self.switch(id, "pause", Status::Running, true)
    }

    /// Lets a paused container's processes go on.
    ///
    /// # Errors
    /// It is not paused.
    pub fn resume(&self, id: &str) -> Result<(), Error> {
        self.switch(id, "resume", Status::Paused, false)
    }

    fn switch(&self, id: &str, operation: &'static str, from: Status, frozen: bool) -> Result<(), Error> {
        let entry = self.entry(id)?;
        let _lock = entry.lock()?;
        let record = entry.record()?;
        let status = entry.status(&record);
        if status != from && !(frozen && status == Status::Created) {
            return Err(Error::State { operation, id: id.to_owned(), status });
        }
        Ok(record.cgroup()?.freeze(frozen)?)
    }
}
