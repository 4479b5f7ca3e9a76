//! What the kernel tells of containers beside their packets.

use super::Net;
use crate::{Error, Group, Observed, datapath::ProgramStatus};

impl Net {
    /// Counts from now on what the sockets and processes of a control group do. A group that is counted for already keeps
    /// its counters.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn observe(&self, group: &Group) -> Result<(), Error> {
        Ok(self.inner.datapath.observe(group)?)
    }

    /// Counts for a group no more; one that is not counted for is fine.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn stop_observing(&self, group: &Group) -> Result<(), Error> {
        Ok(self.inner.datapath.stop_observing(group)?)
    }

    /// Counts for these groups, and for no others.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn observe_only(&self, groups: &[Group]) -> Result<(), Error> {
        Ok(self.inner.datapath.observe_only(groups)?)
    }

    /// What a group did, by its number; nothing of one that is not counted for.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn observed(&self, group: u64) -> Result<Observed, Error> {
        Ok(self.inner.datapath.observed(group)?)
    }

    /// How often each program ran and how long; of none where that is not counted.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn program_runs(&self) -> Result<Vec<ProgramStatus>, Error> {
        Ok(self.inner.datapath.program_runs()?)
    }
}
