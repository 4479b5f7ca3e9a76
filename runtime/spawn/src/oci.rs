//! The OCI runtime: containers from bundles, without a daemon.
//!
//! Every operation is one call of a short-lived process. What lasts between two is a directory for each container, see
//! [`Runtime`], and init itself: `create` leaves it waiting at a [fence](crate::container), as a child of whoever reaps the
//! caller's orphans, and `start` opens the fence.
//!
//! | file of `ROOT/ID` | is |
//! |---|---|
//! | `state.json` | what the container is, see [`Record`] |
//! | `config.json` | its configuration at the time of `create` |
//! | `start` | a FIFO that init reads, there until the container is started |
//! | `started` | a FIFO that init holds until it has executed the command |
//!
//! Operations that change a container hold a lock on its directory.

mod bundle;
mod console;
mod create;
mod delete;
mod entry;
mod error;
mod exec;
mod features;
mod foreground;
mod hooks;
mod kill;
pub(crate) mod listener;
mod pause;
mod process;
mod record;
mod start;
mod stats;
mod update;

use std::path::{Path, PathBuf};

pub use create::{CreateRequest, Keep, check_preserved};
pub use error::Error;
pub use exec::ExecRequest;
pub use features::features;
pub use foreground::Ended;
pub use kill::parse_signal;
pub use record::{Record, Status, Summary};
pub use stats::Stats;
pub use update::Change;

/// The version of the OCI runtime specification that this is a runtime of.
pub const VERSION: &str = "1.2.1";

/// Where containers are remembered, unless the caller says otherwise.
pub const DEFAULT_ROOT: &str = "/run/beeline/oci";

/// A runtime with its containers.
#[derive(Debug, Clone)]
pub struct Runtime {
    root: PathBuf,
}

impl Runtime {
    /// The runtime that remembers its containers below `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// What a container is, and what it does.
    ///
    /// # Errors
    /// There is no such container.
    pub fn state(&self, id: &str) -> Result<Summary, Error> {
        let entry = self.entry(id)?;
        let record = entry.record()?;
        let status = entry.status(&record);
        Ok(Summary::new(&record, status))
    }

    /// All containers, by their ids. One that is being removed is left out.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(&self) -> Result<Vec<Summary>, Error> {
        Ok(self.ids()?.iter().filter_map(|id| self.state(id).ok()).collect())
    }

    /// The process ids of a container's processes, as the caller has them.
    ///
    /// # Errors
    /// There is no such container.
    pub fn processes(&self, id: &str) -> Result<Vec<i32>, Error> {
        let record = self.entry(id)?.record()?;
        let mut processes = record.cgroup()?.processes()?;
        processes.sort_unstable();
        Ok(processes)
    }
}
