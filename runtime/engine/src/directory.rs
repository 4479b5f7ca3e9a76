//! All containers by id and name. Held for moments only, never across an await.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::container::handle::Handle;
use crate::container::view::ContainerView;
use crate::error::Error;
use crate::identity::{ContainerId, ContainerName};

/// All containers.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    entries: RwLock<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_id: BTreeMap<ContainerId, Handle>,
    /// A name is taken before its container is entered.
    by_name: HashMap<ContainerName, ContainerId>,
}

impl Directory {
    /// Takes a name for a container that is about to be.
    pub(crate) fn take_name(&self, name: &ContainerName, id: &ContainerId) -> Result<(), Error> {
        let mut entries = self.write();
        if let Some(owner) = entries.by_name.get(name) {
            return Err(Error::NameTaken { name: name.to_string(), id: owner.to_string() });
        }
        entries.by_name.insert(name.clone(), id.clone());
        Ok(())
    }

    /// Gives a name back, if it is `id`'s.
    pub(crate) fn release_name(&self, name: &ContainerName, id: &ContainerId) {
        let mut entries = self.write();
        if entries.by_name.get(name) == Some(id) {
            entries.by_name.remove(name);
        }
    }

    /// Enters a container; its name has been taken.
    pub(crate) fn insert(&self, handle: Handle) {
        self.write().by_id.insert(handle.id.clone(), handle);
    }

    /// Removes a container and its name.
    pub(crate) fn remove(&self, id: &ContainerId) {
        let mut entries = self.write();
        entries.by_id.remove(id);
        entries.by_name.retain(|_, owner| owner != id);
    }

    /// The container with this id, name or unambiguous beginning of an id, in this order.
    pub(crate) fn find(&self, reference: &str) -> Result<Handle, Error> {
        let entries = self.read();
        let unknown = || Error::NoSuchContainer { reference: reference.to_owned() };
        let wanted = reference.strip_prefix('/').unwrap_or(reference);
        if wanted.is_empty() {
            return Err(unknown());
        }
        let by_id = ContainerId::try_from(wanted.to_owned()).ok().and_then(|id| entries.by_id.get(&id));
        let by_name = || {
            let id = entries.by_name.get(&wanted.parse::<ContainerName>().ok()?)?;
            entries.by_id.get(id)
        };
        if let Some(handle) = by_id.or_else(by_name) {
            return Ok(handle.clone());
        }
        let mut matching = entries.by_id.values().filter(|handle| handle.id.as_str().starts_with(wanted));
        match (matching.next(), matching.next()) {
            (Some(handle), None) => Ok(handle.clone()),
            (Some(_), Some(_)) => Err(Error::AmbiguousId { prefix: reference.to_owned() }),
            (None, _) => Err(unknown()),
        }
    }

    /// Every container as it is now, without waiting for any.
    pub(crate) fn views(&self) -> Vec<Arc<ContainerView>> {
        self.read().by_id.values().map(Handle::view).filter(|view| !view.removed).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        // No code that can panic runs while it is held.
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}
