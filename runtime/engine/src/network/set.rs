//! The instance's networks.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::keeper::Request;
use super::{Kind, Network, NetworkConfig};
use crate::error::Error;

/// The instance's networks, and the queue of the task that makes and removes them.
#[derive(Debug)]
pub(crate) struct Networks {
    /// By id.
    entries: RwLock<BTreeMap<String, Arc<Network>>>,
    pub(super) keeper: mpsc::Sender<Request>,
}

impl Networks {
    /// The networks with a device that are stored, and the two without one of an engine whose id is `engine`.
    pub(crate) fn new(bridges: Vec<Network>, engine: &str, keeper: mpsc::Sender<Request>) -> Self {
        let created = bridges.iter().map(|network| network.created).min().unwrap_or_else(Timestamp::now);
        let without_device = |name: &str, kind| Network {
            id: builtin_id(engine, name),
            created,
            config: NetworkConfig { name: name.to_owned(), ..NetworkConfig::default() },
            kind,
        };
        let others = [without_device("host", Kind::Host), without_device("none", Kind::Null)];
        let all = bridges.into_iter().chain(others);
        let entries = all.map(|network| (network.id.clone(), Arc::new(network))).collect();
        Self { entries: RwLock::new(entries), keeper }
    }

    /// All networks, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Network>> {
        let mut all: Vec<_> = self.read().values().cloned().collect();
        all.sort_by(|one, other| one.name().cmp(other.name()));
        all
    }

    /// The network of an id.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Network>> {
        self.read().get(id).cloned()
    }

    /// The network with this id, name or unambiguous beginning of an id, in this order.
    ///
    /// # Errors
    /// There is none, or several ids begin so.
    pub(crate) fn find(&self, reference: &str) -> Result<Arc<Network>, Error> {
        let entries = self.read();
        let unknown = || Error::NoSuchNetwork { reference: reference.to_owned() };
        if reference.is_empty() {
            return Err(unknown());
        }
        let named = || entries.values().find(|network| network.name() == reference);
        if let Some(network) = entries.get(reference).or_else(named) {
            return Ok(network.clone());
        }
        let matching: Vec<_> = entries.values().filter(|network| network.id.starts_with(reference)).collect();
        match matching.as_slice() {
            [] => Err(unknown()),
            [network] => Ok(Arc::clone(network)),
            several => Err(Error::Invalid(format!(
                "network {reference} is ambiguous ({} matches found on ID prefix)",
                several.len()
            ))),
        }
    }

    pub(super) fn insert(&self, network: Network) -> Arc<Network> {
        let network = Arc::new(network);
        self.write().insert(network.id.clone(), network.clone());
        network
    }

    pub(super) fn remove(&self, id: &str) {
        self.write().remove(id);
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Network>>> {
        // No code that can panic runs while it is held.
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<Network>>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id of a network that is always there: the same for as long as the root directory lives.
pub(super) fn builtin_id(engine: &str, name: &str) -> String {
    derive(&[engine, "network", name])
}

/// 64 hexadecimal digits that depend on all parts.
pub(crate) fn derive(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks() -> Networks {
        Networks::new(Vec::new(), "engine", mpsc::channel(1).0)
    }

    #[test]
    fn a_network_is_found_by_id_name_and_beginning_of_its_id() {
        let networks = networks();
        let host = networks.find("host").unwrap();
        for reference in [host.id.as_str(), &host.id[..12], "host"] {
            assert_eq!(networks.find(reference).unwrap().id, host.id);
        }
        for unknown in ["", "nothing", "hos"] {
            let error = networks.find(unknown).unwrap_err();
            assert_eq!(error.to_string(), format!("network {unknown} not found"));
        }
    }
}
