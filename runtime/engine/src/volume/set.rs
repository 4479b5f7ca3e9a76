//! The instance's volumes, and who has them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::mpsc;

use super::keeper::Request;
use super::options::Mounting;
use super::task::{self, Command};
use super::{VolumeRecord, check_options, data_dir};
use crate::error::Error;
use crate::identity::ContainerId;

/// The instance's volumes, and the queue of the task that makes and removes them.
#[derive(Debug)]
pub(crate) struct Volumes {
    directory: PathBuf,
    /// By name.
    entries: RwLock<BTreeMap<String, Arc<Volume>>>,
    pub(super) keeper: mpsc::Sender<Request>,
}

/// A volume.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) record: VolumeRecord,
    /// What it is mounted from; none if it is a directory of ours.
    pub(super) mounting: Option<Mounting>,
    /// What containers see.
    pub(crate) data: PathBuf,
    uses: Arc<Mutex<Uses>>,
    pub(super) queue: mpsc::Sender<Command>,
}

/// Who has a volume.
#[derive(Debug, Default)]
struct Uses {
    /// Containers that exist, whether they run or not.
    containers: BTreeSet<ContainerId>,
    /// It is being removed.
    closed: bool,
}

impl Volumes {
    pub(crate) fn new(directory: PathBuf, keeper: mpsc::Sender<Request>) -> Self {
        Self { directory, entries: RwLock::default(), keeper }
    }

    /// Where all volumes are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// All volumes, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Volume>> {
        self.read().values().cloned().collect()
    }

    /// The volume of a name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Volume>> {
        self.read().get(name).cloned()
    }

    /// Enters a volume and starts its task, which ends with it.
    pub(super) fn insert(&self, record: VolumeRecord) -> Result<Arc<Volume>, Error> {
        let mounting = check_options(&record.options)?;
        let data = data_dir(&self.directory, &record.name);
        let queue = task::spawn(data.clone(), mounting.clone());
        let name = record.name.clone();
        let volume = Arc::new(Volume { record, mounting, data, uses: Arc::default(), queue });
        self.write().insert(name, volume.clone());
        Ok(volume)
    }

    /// Replaces what is known of a volume; who has it stays.
    pub(super) fn replace(&self, volume: &Volume, record: VolumeRecord) {
        let replaced = Volume {
            record,
            mounting: volume.mounting.clone(),
            data: volume.data.clone(),
            uses: volume.uses.clone(),
            queue: volume.queue.clone(),
        };
        self.write().insert(replaced.record.name.clone(), Arc::new(replaced));
    }

    pub(super) fn remove(&self, name: &str) {
        self.write().remove(name);
    }

    /// The container exists and has the volume, which therefore stays. False if there is no such volume.
    pub(crate) fn acquire(&self, name: &str, id: &ContainerId) -> bool {
        self.read().get(name).is_some_and(|volume| {
            let mut uses = volume.uses();
            if !uses.closed {
                uses.containers.insert(id.clone());
            }
            !uses.closed
        })
    }

    /// The container is gone.
    pub(crate) fn release(&self, name: &str, id: &ContainerId) {
        if let Some(volume) = self.read().get(name) {
            volume.uses().containers.remove(id);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Volume>>> {
        // No code that can panic runs while it is held.
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<Volume>>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Volume {
    /// The containers that have it.
    pub(crate) fn users(&self) -> BTreeSet<ContainerId> {
        self.uses().containers.clone()
    }

    /// Whether it has no files, as far as that can be told without mounting it.
    pub(crate) fn may_be_empty(&self) -> bool {
        self.mounting.is_some()
            || std::fs::read_dir(&self.data).is_ok_and(|mut entries| entries.next().is_none())
    }

    /// Nobody is given it any more. Fails with the containers that have it.
    pub(super) fn close(&self) -> Result<(), BTreeSet<ContainerId>> {
        let mut uses = self.uses();
        if uses.containers.is_empty() {
            uses.closed = true;
            return Ok(());
        }
        Err(uses.containers.clone())
    }

    pub(super) fn reopen(&self) {
        self.uses().closed = false;
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
