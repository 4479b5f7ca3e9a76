//! Rules by source, and the guard at the uplinks.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use super::{Inner, lock, uplinks::Uplinks};
use crate::{Error, GuardStatus, PublishStatus, RuleStatus, Scope};

/// A publish with the rules that its clients have to pass, but the daemon's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishRules {
    /// What is published, and what went through it.
    pub status: PublishStatus,
    /// Its own rules, then its network's.
    pub rules: Vec<(Scope, RuleStatus)>,
}

impl Inner {
    pub(super) fn publish_rules(&self) -> Result<Vec<PublishRules>, Error> {
        // A network's set is read once, not for each of its publishes.
        let mut networks: BTreeMap<u32, Vec<RuleStatus>> = BTreeMap::new();
        let mut publishes = Vec::new();
        for status in self.datapath.publishes()? {
            let own = self.datapath.rules(status.rules.publish)?;
            let set = status.rules.network;
            let network = match networks.entry(set) {
                Entry::Occupied(read) => read.into_mut(),
                Entry::Vacant(vacant) => vacant.insert(self.datapath.rules(set)?),
            };
            let network = network.iter().copied();
            let rules = own.into_iter().map(|rule| (Scope::Publish, rule));
            let rules = rules.chain(network.map(|rule| (Scope::Network, rule))).collect();
            publishes.push(PublishRules { status, rules });
        }
        Ok(publishes)
    }

    /// Attaches the guard to the uplinks that ask for it, and detaches it from those that do no more. A device that
    /// refuses is tried again; its denied sources are refused at the published ports meanwhile.
    pub(super) fn refresh_guards(&self, uplinks: &Uplinks) {
        for (index, name) in uplinks.names() {
            if self.guard.includes(name) {
                self.attach_guard(index, name);
            } else if let Err(error) = self.datapath.detach_guard(index) {
                tracing::warn!(device = name, error = ?error, "guard not detached");
            }
        }
    }

    fn attach_guard(&self, index: u32, name: &str) {
        match self.datapath.attach_guard(index, name) {
            Ok(Some(mode)) => tracing::info!(device = name, %mode, "guard attached"),
            Ok(None) => {}
            Err(error) => tracing::error!(device = name, %error, "guard not attached"),
        }
    }

    /// Says once which devices the guard was asked for and does not stand at.
    pub(super) fn miss_guards(&self) {
        let uplinks = lock(&self.uplinks);
        let names: BTreeSet<&str> = uplinks.names().map(|(_, name)| name).collect();
        for name in self.guard.devices().filter(|name| !names.contains(name)) {
            tracing::warn!(
                device = name,
                "the guard is asked for at a device that is no uplink: it waits for it"
            );
        }
    }

    pub(super) fn guards(&self) -> Vec<GuardStatus> {
        let uplinks = lock(&self.uplinks);
        let status = |(index, name): (u32, &str)| {
            let mode = self.datapath.guard_mode(index)?;
            Some(GuardStatus { device: name.to_owned(), mode })
        };
        uplinks.names().filter_map(status).collect()
    }
}
