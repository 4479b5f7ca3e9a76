//! The datapath at the devices towards the outside, as they come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Inner, lock};
use crate::{
    Error,
    host::{HostNetwork, HostUplink},
};

/// What the datapath was told.
#[derive(Debug, Default)]
pub(super) struct Uplinks {
    attached: BTreeMap<u32, HostUplink>,
    addresses: Option<BTreeSet<IpAddr>>,
    /// The instance has ended: a refresh on its way must not attach again.
    closed: bool,
}

impl Uplinks {
    /// The devices that are attached, by index and name.
    pub(super) fn names(&self) -> impl Iterator<Item = (u32, &str)> {
        self.attached.iter().map(|(index, uplink)| (*index, uplink.name.as_str()))
    }
}

impl Inner {
    /// Makes the datapath's uplinks and local addresses those of the host. A device that refuses (it may be gone this very
    /// moment) is tried again at the next change.
    pub(super) fn refresh_uplinks(&self) -> Result<(), Error> {
        // Read under the lock: a slower reader must not undo what a later one saw.
        let mut uplinks = lock(&self.uplinks);
        if uplinks.closed {
            return Ok(());
        }
        let host = HostNetwork::read()?;
        let wanted = host.uplinks();
        let gone: Vec<u32> =
            uplinks.attached.keys().filter(|index| !wanted.contains_key(index)).copied().collect();
        for index in gone {
            if let Some(uplink) = uplinks.attached.remove(&index) {
                tracing::info!(device = uplink.name, "uplink gone");
                self.forget_uplink(index, &uplink.name);
            }
        }
        for (index, uplink) in wanted {
            if uplinks.attached.get(&index) == Some(&uplink) {
                continue;
            }
            match self.adopt_uplink(&uplink) {
                Ok(()) => {
                    tracing::info!(device = uplink.name, addresses = ?uplink.spec.addresses, "uplink attached");
                    uplinks.attached.insert(index, uplink);
                }
                Err(error) => tracing::warn!(device = uplink.name, error = ?error, "uplink not attached"),
            }
        }
        self.refresh_guards(&uplinks);
        let addresses = host.local_addresses();
        if uplinks.addresses.as_ref() != Some(&addresses) {
            self.datapath.set_local_addresses(&Vec::from_iter(addresses.iter().copied()))?;
            let has_lost = uplinks.addresses.as_ref().is_some_and(|known| !known.is_subset(&addresses));
            uplinks.addresses = Some(addresses);
            if has_lost {
                // What left under an address that is gone begins anew, under one that is there.
                self.datapath.expire_flows()?;
            }
        }
        Ok(())
    }

    fn adopt_uplink(&self, uplink: &HostUplink) -> Result<(), Error> {
        self.datapath.set_uplink(&uplink.spec)?;
        Ok(self.datapath.attach_uplink(uplink.spec.ifindex, &uplink.name)?)
    }

    fn forget_uplink(&self, index: u32, name: &str) {
        let detached = self.datapath.detach_uplink(index, name);
        let unguarded = self.datapath.detach_guard(index);
        let removed = self.datapath.remove_uplink(index);
        for error in [detached, unguarded, removed].into_iter().filter_map(Result::err) {
            tracing::warn!(device = name, error = ?error, "uplink not detached");
        }
    }

    /// Forgets the uplinks an earlier daemon attached to that are none any more.
    pub(super) fn forget_stale_uplinks(&self) -> Result<(), Error> {
        let host = HostNetwork::read()?;
        let wanted = host.uplinks();
        for index in self.datapath.uplinks()? {
            if !wanted.contains_key(&index) {
                let name = host.links.iter().find(|link| link.index == index).map_or("", |link| &link.name);
                self.forget_uplink(index, name);
            }
        }
        Ok(())
    }

    /// Detaches from every uplink, for good.
    pub(super) fn detach_uplinks(&self) {
        let mut uplinks = lock(&self.uplinks);
        for (index, uplink) in std::mem::take(&mut uplinks.attached) {
            self.forget_uplink(index, &uplink.name);
        }
        uplinks.closed = true;
    }
}
