//! Changing a container's limits.

use oci_spec::runtime::LinuxResources;

use super::record::Status;
use super::{Error, Runtime};
use crate::cgroup::Hierarchy;

/// Limits to set; those that are not named stay.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// As in the configuration's `linux.resources`; device rules are not changed.
    pub resources: LinuxResources,
}

impl Runtime {
    /// Changes limits of a container.
    ///
    /// # Errors
    /// It has ended, or the kernel refuses a limit.
    pub fn update(&self, id: &str, change: &Change) -> Result<(), Error> {
        let entry = self.entry(id)?;
        let _lock = entry.lock()?;
        let record = entry.record()?;
        let status = entry.status(&record);
        if matches!(status, Status::Stopped | Status::Creating) {
            return Err(Error::State { operation: "update", id: id.to_owned(), status });
        }
        let mut resources = change.resources.clone();
        resources.set_devices(None);
        Hierarchy::detect()?.features().check(&resources)?;
        Ok(record.cgroup()?.update(&resources)?)
    }
}
