//! Stopping all processes of a group where they are: v1's freezer controller, or what every cgroup2 group has.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use super::group::Cgroup;
use super::{Error, Mode, setting};

/// How long freezing may take, in steps of [`STEP`]: processes in the middle of a system call have to leave it.
const PATIENCE: u32 = 1000;
const STEP: Duration = Duration::from_millis(2);

/// How often v1's freezer is asked again in between. It can miss a process that is being born; being thawed for a moment
/// and frozen again, it finds it.
const AGAIN: u32 = 50;

/// Where a group's freezer is.
#[derive(Debug)]
enum Freezer {
    V1(PathBuf),
    V2(PathBuf),
}

impl Cgroup {
    /// Freezes every process of the group and below, or lets them go on; returns when it is done.
    ///
    /// # Errors
    /// The group does not exist, the host has no freezer, or a process does not come to a stop; then all go on.
    pub fn freeze(&self, frozen: bool) -> Result<(), Error> {
        let freezer = self.freezer().ok_or(Error::NoController { what: "pausing", controller: "freezer" })?;
        freezer.set(frozen)?;
        for attempt in 1..=PATIENCE {
            if freezer.is_frozen()? == frozen {
                return Ok(());
            }
            if attempt % AGAIN == 0 && matches!(freezer, Freezer::V1(_)) && frozen {
                freezer.set(false)?;
                freezer.set(true)?;
            }
            sleep(STEP);
        }
        freezer.set(false)?;
        Err(Error::Busy { path: self.path().to_owned() })
    }

    /// Whether the group's processes are frozen.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.freezer().is_some_and(|freezer| freezer.is_frozen().unwrap_or(false))
    }

    /// Lets the processes go on, if there are any: v1 does not even let a frozen process be killed.
    pub(crate) fn thaw_for_kill(&self) {
        if let Some(freezer @ Freezer::V1(_)) = self.freezer() {
            // A group that does not exist has nobody frozen.
            let _ = freezer.set(false);
        }
    }

    fn freezer(&self) -> Option<Freezer> {
        if self.mode() == Mode::Unified {
            return self.unified_path().map(Freezer::V2);
        }
        let v1 = self.directory("freezer").map(Freezer::V1);
        v1.or_else(|| self.unified_path().map(Freezer::V2))
    }
}

impl Freezer {
    fn set(&self, frozen: bool) -> Result<(), Error> {
        match self {
            Self::V1(group) => {
                setting::write(&group.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" })
            }
            Self::V2(group) => setting::write(&group.join("cgroup.freeze"), if frozen { "1" } else { "0" }),
        }
    }

    /// On v1 a group on its way is neither: `FREEZING`.
    fn is_frozen(&self) -> Result<bool, Error> {
        match self {
            Self::V1(group) => Ok(setting::read(&group.join("freezer.state"))?.trim() == "FROZEN"),
            Self::V2(group) => {
                let events = setting::read(&group.join("cgroup.events"))?;
                Ok(setting::keyed(&events, "frozen") == Some(1))
            }
        }
    }
}
