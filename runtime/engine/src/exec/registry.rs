//! All execs that are remembered. Held for moments only, never across an await.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::{ExecConfig, ExecState, ExecView};
use crate::error::Error;
use crate::identity::ContainerId;
use crate::shared::Shared;

/// How long an exec that has ended can be asked for, as in Docker.
const REMEMBERED: Duration = Duration::from_secs(300);

/// All execs.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    entries: Mutex<HashMap<String, Arc<Entry>>>,
}

/// One exec.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) id: String,
    pub(super) container: ContainerId,
    pub(super) config: ExecConfig,
    progress: watch::Sender<Progress>,
}

/// How far an exec is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) state: ExecState,
    pid: u32,
}

impl Execs {
    pub(super) fn insert(&self, entry: Entry) {
        self.lock().insert(entry.id.clone(), Arc::new(entry));
    }

    pub(super) fn find(&self, id: &str) -> Result<Arc<Entry>, Error> {
        self.lock().get(id).cloned().ok_or_else(|| Error::NoSuchExec { id: id.to_owned() })
    }

    /// The container's execs that have not ended, in no order.
    pub(super) fn of(&self, container: &ContainerId) -> Vec<String> {
        let entries = self.lock();
        let live = |entry: &&Arc<Entry>| {
            entry.container == *container && !matches!(entry.view().state, ExecState::Ended(_))
        };
        entries.values().filter(live).map(|entry| entry.id.clone()).collect()
    }

    /// Forgets the execs of a container that is removed.
    pub(crate) fn forget_container(&self, container: &ContainerId) {
        self.lock().retain(|_, entry| entry.container != *container);
    }

    /// Forgets what was created and never started in a run that is over.
    pub(crate) fn forget_unstarted(&self, container: &ContainerId) {
        self.lock()
            .retain(|_, entry| entry.container != *container || entry.view().state != ExecState::Created);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Entry>>> {
        // No code that can panic runs while it is held.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    pub(super) fn new(id: String, container: ContainerId, config: ExecConfig) -> Self {
        let progress = watch::Sender::new(Progress { state: ExecState::Created, pid: 0 });
        Self { id, container, config, progress }
    }

    /// Takes the one start there is.
    pub(super) fn begin(&self) -> Result<(), Error> {
        let before = self.progress.borrow().state;
        let began = self.progress.send_if_modified(|progress| {
            let first = progress.state == ExecState::Created;
            if first {
                progress.state = ExecState::Starting;
            }
            first
        });
        match before {
            _ if began => Ok(()),
            ExecState::Ended(_) => {
                Err(Error::Conflict(format!("Error: Exec command {} has already run", self.id)))
            }
            _ => Err(Error::Conflict(format!("Error: Exec command {} is already running", self.id))),
        }
    }

    pub(super) fn set(&self, state: ExecState, pid: u32) {
        self.progress.send_replace(Progress { state, pid });
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(super) fn view(&self) -> ExecView {
        let Progress { state, pid } = *self.progress.borrow();
        ExecView {
            id: self.id.clone(),
            container: self.container.clone(),
            config: self.config.clone(),
            state,
            pid,
        }
    }
}

/// Forgets an exec some time after its end.
pub(super) async fn forget_later(shared: Arc<Shared>, id: String) {
    tokio::time::sleep(REMEMBERED).await;
    shared.execs.lock().remove(&id);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, container: &ContainerId) -> Entry {
        Entry::new(id.to_owned(), container.clone(), ExecConfig::default())
    }

    #[test]
    fn an_exec_starts_once() {
        let entry = entry("e", &ContainerId::random().unwrap());
        entry.begin().unwrap();
        assert_eq!(entry.begin().unwrap_err().to_string(), "Error: Exec command e is already running");
        entry.set(ExecState::Ended(3), 0);
        assert_eq!(entry.begin().unwrap_err().to_string(), "Error: Exec command e has already run");
    }

    #[test]
    fn a_container_has_what_has_not_ended() {
        let (execs, one, other) =
            (Execs::default(), ContainerId::random().unwrap(), ContainerId::random().unwrap());
        for (id, container) in [("a", &one), ("b", &one), ("c", &other)] {
            execs.insert(entry(id, container));
        }
        execs.find("a").unwrap().set(ExecState::Ended(0), 0);
        assert_eq!(execs.of(&one), ["b"]);
        execs.forget_unstarted(&one);
        assert!(execs.find("a").is_ok() && execs.find("b").is_err() && execs.find("c").is_ok());
        execs.forget_container(&one);
        assert_eq!(execs.find("a").unwrap_err().to_string(), "No such exec instance: a");
    }
}
