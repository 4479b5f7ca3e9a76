//! Published ports in their maps.
//!
//! The order of writes keeps every lookup sound: the entry is written before a prefix leads to it, and marked unused
//! before its prefixes go. Prefixes of two publishes never coincide, as overlapping publishes are refused.

use aya::maps::lpm_trie::Key;
use beeline_abi::{Address, MAX_PUBLISHES, PortKey, PortPrefixes, Publish as Entry, RuleSets};

use super::{
    Error, Protocol, Publish, PublishStatus,
    state::State,
    tables::{self, failed},
};
use crate::rules::{Rules, Scope};

impl State {
    /// Publishes an interval; one that is published already, the same in all, only gets its rules.
    pub(super) fn publish(&mut self, publish: &Publish, rules: &Rules) -> Result<(), Error> {
        check(publish)?;
        for (slot, entry) in self.publishes.iter().filter(|(_, entry)| meets(entry, publish)) {
            let Some(taken) = from_entry(entry) else { continue };
            if taken == *publish {
                return self.set_publish_rules(*slot, rules);
            }
            if taken.overlaps(publish) {
                return Err(Error::AlreadyPublished { wanted: *publish, taken });
            }
        }
        let slot = (0..MAX_PUBLISHES)
            .zip(self.publishes.keys().map(Some).chain(std::iter::repeat(None)))
            .find(|(slot, used)| Some(slot) != *used)
            .map(|(slot, _)| slot)
            .ok_or(Error::Full { what: "published port", capacity: MAX_PUBLISHES })?;
        let own = self.replace_set(0, Scope::Publish, rules)?;
        let sets = self.sets_of(&publish.container_ip.into(), own)?;
        let entry = to_entry(publish, self.next_generation(), sets);
        self.publishes.insert(slot, entry);
        let counted = tables::clear(&mut self.tables.publish_counters, "PUBLISH_COUNTERS", slot);
        let written = counted
            .and_then(|()| self.tables.publishes.set(slot, entry, 0).map_err(failed("write", "PUBLISHES")));
        if let Err(error) = written {
            self.withdraw(slot, &entry)?;
            return Err(error);
        }
        for key in keys(&entry) {
            if let Err(error) = self.tables.ports.insert(&key, slot, 0) {
                let error = if tables::errno(&error) == Some(libc::ENOSPC) {
                    Error::Full { what: "published port range", capacity: MAX_PUBLISHES * 4 }
                } else {
                    failed("write", "PORTS")(error)
                };
                self.withdraw(slot, &entry)?;
                return Err(error);
            }
        }
        Ok(())
    }

    fn set_publish_rules(&mut self, slot: u32, rules: &Rules) -> Result<(), Error> {
        let Some(entry) = self.publishes.get(&slot).copied() else { return Ok(()) };
        let new = self.replace_set(entry.rules.publish, Scope::Publish, rules)?;
        self.lead_to(slot, self.sets_of(&entry.container, new)?)?;
        self.retire(entry.rules.publish, new)
    }

    /// The slot of what is published.
    pub(super) fn slot_of(&self, publish: &Publish) -> Option<u32> {
        let found = self.publishes.iter().find(|(_, entry)| from_entry(entry).as_ref() == Some(publish));
        found.map(|(slot, _)| *slot)
    }

    pub(super) fn unpublish(&mut self, publish: &Publish) -> Result<(), Error> {
        let found = self.publishes.iter().find(|(_, entry)| from_entry(entry).as_ref() == Some(publish));
        let Some((&slot, &entry)) = found else { return Err(Error::NotPublished { publish: *publish }) };
        self.withdraw(slot, &entry)
    }

    fn withdraw(&mut self, slot: u32, entry: &Entry) -> Result<(), Error> {
        let unused = Entry { used: 0, generation: self.next_generation(), ..*entry };
        self.tables.publishes.set(slot, unused, 0).map_err(failed("write", "PUBLISHES"))?;
        for key in keys(entry) {
            tables::remove_prefix(&mut self.tables.ports, "PORTS", &key)?;
        }
        self.publishes.remove(&slot);
        self.retire(entry.rules.publish, 0)
    }

    pub(super) fn publish_statuses(&self) -> Result<Vec<PublishStatus>, Error> {
        let mut statuses = Vec::with_capacity(self.publishes.len());
        for (slot, entry) in &self.publishes {
            let Some(publish) = from_entry(entry) else { continue };
            let counters = tables::sum(&self.tables.publish_counters, "PUBLISH_COUNTERS", *slot)?;
            statuses.push(PublishStatus { publish, counters, rules: entry.rules });
        }
        Ok(statuses)
    }
}

fn check(publish: &Publish) -> Result<(), Error> {
    let reason = if publish.host_first == 0 || publish.container_first == 0 {
        "port 0 cannot be published"
    } else if publish.host_last < publish.host_first {
        "the interval ends before it begins"
    } else if publish.container_first.checked_add(publish.host_last - publish.host_first).is_none() {
        "the container's ports would pass 65535"
    } else if publish.host_ip.is_ipv4() != publish.container_ip.is_ipv4() {
        "the host's address and the container's are of different families"
    } else {
        return Ok(());
    };
    Err(Error::InvalidPublish { publish: *publish, reason })
}

/// Whether an entry has ports of a publish, perhaps of another address: the quick look that most do not pass.
fn meets(entry: &Entry, publish: &Publish) -> bool {
    entry.host_first <= publish.host_last
        && publish.host_first <= entry.host_last
        && entry.protocol == publish.protocol.number()
}

fn to_entry(publish: &Publish, generation: u32, rules: RuleSets) -> Entry {
    Entry {
        host: publish.host_ip.into(),
        container: publish.container_ip.into(),
        host_first: publish.host_first,
        host_last: publish.host_last,
        container_first: publish.container_first,
        protocol: publish.protocol.number(),
        used: 1,
        generation,
        flags: 0,
        rules,
    }
}

fn from_entry(entry: &Entry) -> Option<Publish> {
    Some(Publish {
        protocol: Protocol::from_number(entry.protocol)?,
        host_ip: entry.host.into(),
        host_first: entry.host_first,
        host_last: entry.host_last,
        container_ip: entry.container.into(),
        container_first: entry.container_first,
    })
}

fn keys(entry: &Entry) -> impl Iterator<Item = Key<PortKey>> {
    let (host, protocol): (Address, u8) = (entry.host, entry.protocol);
    PortPrefixes::new(entry.host_first, entry.host_last)
        .map(move |(first, bits)| Key::new(bits, PortKey::new(host, protocol, first)))
}
