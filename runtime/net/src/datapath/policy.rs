//! Rules by source in their maps.
//!
//! A set is written whole before anything leads to it and removed after nothing does any more, so a packet meets the
//! old rules or the new ones. What a change refuses is cut from the table of flows at once; all other flows go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    os::fd::{AsFd as _, BorrowedFd},
};

use aya::maps::{MapError, lpm_trie::Key};
use beeline_abi::{
    Address, Flow, FlowKind, MAX_RULES, PolicyKey, Publish as Entry, Rule, RuleSets, Tuple, action,
};
use ipnet::IpNet;

use super::{
    Datapath, Error, Publish, RuleStatus,
    refusal::RefusingRule,
    state::State,
    syscall,
    tables::{self, failed},
};
use crate::rules::{self, Action, Rules, Scope};

/// The bit that the number of the daemon's set has, and no other.
const DAEMON: u32 = 1 << 31;

/// A set as it is in the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RuleSet {
    /// Of each source what becomes of it, and its counter.
    entries: BTreeMap<IpNet, Rule>,
}

impl RuleSet {
    /// Whether these are the rules of this set.
    fn has(&self, rules: &Rules) -> bool {
        let named = self.entries.iter().filter_map(|(source, rule)| Some((*source, named(rule)?)));
        named.eq(rules.iter())
    }
}

/// What a rule that the user made does; none for what a set adds to them.
fn named(rule: &Rule) -> Option<Action> {
    match rule.action {
        action::ALLOW => Some(Action::Allow),
        action::DENY => Some(Action::Deny),
        _ => None,
    }
}

/// The sets, and which is the daemon's.
#[derive(Debug, Default)]
pub(super) struct RuleBook {
    sets: BTreeMap<u32, RuleSet>,
    daemon: u32,
    last: u32,
    /// Slots of publishes whose rules have changed since the collector's last pass.
    changed: BTreeSet<u32>,
}

impl RuleBook {
    /// A number that no set has.
    fn next(&mut self, scope: Scope) -> u32 {
        let flag = if scope == Scope::Daemon { DAEMON } else { 0 };
        loop {
            self.last = (self.last + 1) % DAEMON;
            let number = self.last | flag;
            if self.last != 0 && !self.sets.contains_key(&number) {
                return number;
            }
        }
    }

    /// Counters that no rule has.
    fn free_counters(&self, count: usize) -> Result<Vec<u32>, Error> {
        let rules = self.sets.values().flat_map(|set| set.entries.values());
        let used: BTreeSet<u32> = rules.map(|rule| rule.counter).collect();
        let free: Vec<u32> = (0..MAX_RULES).filter(|index| !used.contains(index)).take(count).collect();
        if free.len() < count {
            return Err(Error::Full { what: "rule", capacity: MAX_RULES });
        }
        Ok(free)
    }
}

impl Datapath {
    /// Publishes an interval of ports for those whom its rules, its network's and the daemon's let through. The same
    /// once more with other rules replaces these: flows that they refuse end, all others go on.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn publish_to(&self, publish: &Publish, rules: &Rules) -> Result<(), Error> {
        self.changing_rules(|state| state.publish(publish, rules))
    }

    /// Sets the rules for everything that is published, and those of the guard; flows that they refuse end.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Map`].
    pub fn set_daemon_rules(&self, rules: &Rules) -> Result<(), Error> {
        self.changing_rules(|state| state.set_daemon_rules(rules))
    }

    /// The rules for everything that is published, with their hits.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn daemon_rules(&self) -> Result<Vec<RuleStatus>, Error> {
        self.state().daemon_rules()
    }

    /// The rules of a set that [`PublishStatus::rules`] names, with their hits; none for an unknown one.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn rules(&self, set: u32) -> Result<Vec<RuleStatus>, Error> {
        self.state().rule_statuses(set)
    }

    /// Whether a published port may be reached from an address, as the programs see it.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn admits(&self, publish: &Publish, source: IpAddr) -> Result<bool, Error> {
        self.state().admits(publish, source)
    }

    /// Changes rules, and cuts the flows that they refuse now.
    pub(super) fn changing_rules(
        &self,
        change: impl FnOnce(&mut State) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut state = self.state();
        let changed = change(&mut state);
        // What was changed before a failure holds.
        let slots = state.changed();
        state.cut(self.flows.as_fd(), &slots)?;
        changed
    }
}

impl State {
    /// Reads the sets back, and removes those that nothing leads to: a daemon that died wrote or removed them.
    pub(super) fn restore_rules(&mut self) -> Result<(), Error> {
        let mut sets: BTreeMap<u32, RuleSet> = BTreeMap::new();
        for pair in &self.tables.policy {
            let (key, rule) = pair.map_err(failed("read", "POLICY"))?;
            let data = key.data();
            if let Some(source) = rules::source(key.prefix_len(), &data) {
                sets.entry(data.set).or_default().entries.insert(source, rule);
            }
        }
        self.rules.last = sets.keys().map(|set| set % DAEMON).max().unwrap_or_default();
        self.rules.sets = sets;
        let mut used: BTreeSet<u32> =
            self.publishes.values().flat_map(|entry| entry.rules.in_order()).collect();
        for pair in &self.tables.networks {
            used.insert(pair.map_err(failed("read", "NETWORKS"))?.1.rules);
        }
        let daemons = self.rules.sets.keys().filter(|set| **set & DAEMON != 0);
        // Nothing leads to the daemon's set while nothing is published: the newest is taken, and replaced if incomplete.
        self.rules.daemon =
            daemons.clone().find(|set| used.contains(set)).or(daemons.max()).copied().unwrap_or_default();
        used.insert(self.rules.daemon);
        let stale: Vec<u32> = self.rules.sets.keys().filter(|set| !used.contains(set)).copied().collect();
        stale.into_iter().try_for_each(|set| self.remove_set(set))
    }

    /// The set of these rules in place of another: the same one if it has them already. The caller lets everything lead
    /// to it, then calls [`Self::retire`].
    pub(super) fn replace_set(&mut self, old: u32, scope: Scope, rules: &Rules) -> Result<u32, Error> {
        match self.rules.sets.get(&old) {
            Some(set) if set.has(rules) => return Ok(old),
            _ if rules.is_empty() => return Ok(0),
            _ => {}
        }
        let counters = self.rules.free_counters(rules.len() + 1)?;
        for counter in &counters {
            tables::clear(&mut self.tables.rule_counters, "RULE_COUNTERS", *counter)?;
        }
        let of_others = Rule { action: rules.of_others(), counter: counters[0] };
        let mut entries = BTreeMap::from(rules::everything().map(|source| (source, of_others)));
        for ((source, action), counter) in rules.iter().zip(counters.into_iter().skip(1)) {
            let action = match action {
                Action::Allow => action::ALLOW,
                Action::Deny => action::DENY,
            };
            entries.insert(source, Rule { action, counter });
        }
        let set = self.rules.next(scope);
        // Known before it is written: what fails half-way is removed whole.
        self.rules.sets.insert(set, RuleSet { entries: entries.clone() });
        for (source, rule) in entries {
            let (bits, key) = rules::prefix(set, source);
            if let Err(error) = self.tables.policy.insert(&Key::new(bits, key), rule, 0) {
                self.remove_set(set)?;
                return Err(failed("write", "POLICY")(error));
            }
        }
        Ok(set)
    }

    /// Removes a set that another has replaced.
    pub(super) fn retire(&mut self, old: u32, new: u32) -> Result<(), Error> {
        if old == new { Ok(()) } else { self.remove_set(old) }
    }

    fn remove_set(&mut self, set: u32) -> Result<(), Error> {
        let Some(removed) = self.rules.sets.get(&set) else { return Ok(()) };
        for source in removed.entries.keys() {
            let (bits, key) = rules::prefix(set, *source);
            tables::remove_prefix(&mut self.tables.policy, "POLICY", &Key::new(bits, key))?;
        }
        self.rules.sets.remove(&set);
        Ok(())
    }

    /// The sets for a publish of this container beside its own.
    pub(super) fn sets_of(&self, container: &Address, publish: u32) -> Result<RuleSets, Error> {
        let endpoint = tables::get(&self.tables.endpoints, "ENDPOINTS", container)?;
        let network = match endpoint {
            Some(endpoint) => tables::get(&self.tables.networks, "NETWORKS", &endpoint.network)?,
            None => None,
        };
        let network = network.map_or(0, |network| network.rules);
        Ok(RuleSets { publish, network, daemon: self.rules.daemon })
    }

    /// Makes the publishes that `concerns` tells lead to their network's and the daemon's present sets.
    pub(super) fn lead_to_sets(&mut self, concerns: impl Fn(&Entry) -> bool) -> Result<(), Error> {
        let concerned = self.publishes.iter().filter(|(_, entry)| concerns(entry));
        let concerned: Vec<(u32, Entry)> = concerned.map(|(slot, entry)| (*slot, *entry)).collect();
        for (slot, entry) in concerned {
            self.lead_to(slot, self.sets_of(&entry.container, entry.rules.publish)?)?;
        }
        Ok(())
    }

    /// Makes a publish lead to these sets.
    pub(super) fn lead_to(&mut self, slot: u32, rules: RuleSets) -> Result<(), Error> {
        let Some(entry) = self.publishes.get_mut(&slot).filter(|entry| entry.rules != rules) else {
            return Ok(());
        };
        entry.rules = rules;
        self.rules.changed.insert(slot);
        self.tables.publishes.set(slot, *entry, 0).map_err(failed("write", "PUBLISHES"))
    }

    /// Sets the rules for everything that the daemon publishes, and the guard's.
    pub(super) fn set_daemon_rules(&mut self, rules: &Rules) -> Result<(), Error> {
        let old = self.rules.daemon;
        let new = self.replace_set(old, Scope::Daemon, rules)?;
        self.rules.daemon = new;
        self.lead_to_sets(|_| true)?;
        self.set_guard()?;
        self.retire(old, new)
    }

    /// Makes the guard's table that of the daemon's rules. Exceptions are there before what they are exceptions of.
    fn set_guard(&mut self) -> Result<(), Error> {
        let family = |source: &IpNet| match source {
            IpNet::V4(_) => PolicyKey::GUARD_V4,
            IpNet::V6(_) => PolicyKey::GUARD_V6,
        };
        let set = self.rules.sets.get(&self.rules.daemon).cloned().unwrap_or_default();
        let mut wanted = BTreeSet::new();
        for wave in [Action::Allow, Action::Deny] {
            for (source, rule) in set.entries.iter().filter(|(_, rule)| named(rule) == Some(wave)) {
                let (bits, key) = rules::prefix(family(source), *source);
                let inserted = self.tables.guard.insert(&Key::new(bits, key), rule, 0);
                inserted.map_err(failed("write", "GUARD"))?;
                wanted.insert((bits, key));
            }
        }
        let present: Result<Vec<Key<PolicyKey>>, _> = self.tables.guard.keys().collect();
        for key in present.map_err(failed("read", "GUARD"))? {
            if !wanted.contains(&(key.prefix_len(), key.data())) {
                tables::remove_prefix(&mut self.tables.guard, "GUARD", &key)?;
            }
        }
        Ok(())
    }

    /// The rules of a set with their hits.
    pub(super) fn rule_statuses(&self, set: u32) -> Result<Vec<RuleStatus>, Error> {
        let Some(set) = self.rules.sets.get(&set) else { return Ok(Vec::new()) };
        let mut statuses = Vec::with_capacity(set.entries.len());
        let mut others = None;
        for (source, rule) in &set.entries {
            let hits = || tables::sum(&self.tables.rule_counters, "RULE_COUNTERS", rule.counter);
            match named(rule) {
                Some(action) => statuses.push(RuleStatus { action, source: Some(*source), hits: hits()? }),
                // One for both families.
                None if others.is_none() => {
                    let is_refused = rule.action == action::UNLISTED;
                    let action = if is_refused { Action::Deny } else { Action::Allow };
                    others = Some(RuleStatus { action, source: None, hits: hits()? });
                }
                None => {}
            }
        }
        statuses.extend(others);
        Ok(statuses)
    }

    /// The rules for everything that the daemon publishes, with their hits.
    pub(super) fn daemon_rules(&self) -> Result<Vec<RuleStatus>, Error> {
        self.rule_statuses(self.rules.daemon)
    }

    /// The rule with this counter, as one that refuses.
    pub(super) fn rule_of(&self, counter: u32) -> Option<RefusingRule> {
        let (number, source, rule) = self.rules.sets.iter().find_map(|(number, set)| {
            let (source, rule) = set.entries.iter().find(|(_, rule)| rule.counter == counter)?;
            Some((number, source, rule))
        })?;
        let is_publishes = self.publishes.values().any(|entry| entry.rules.publish == *number);
        let scope = match number & DAEMON {
            0 if is_publishes => Scope::Publish,
            0 => Scope::Network,
            _ => Scope::Daemon,
        };
        Some(RefusingRule { scope, source: named(rule).map(|_| *source) })
    }

    /// The slots whose rules have changed since the collector's last pass.
    pub(super) fn changed(&self) -> BTreeSet<u32> {
        self.rules.changed.clone()
    }

    /// The same, for the collector's pass.
    pub(super) fn take_changed(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.rules.changed)
    }

    /// Deletes the flows through these publishes that their rules refuse now.
    ///
    /// To be called after the change, and once more some time later: a packet that was judged by the old rules may have
    /// made its flow since.
    pub(super) fn cut(&mut self, flows: BorrowedFd<'_>, slots: &BTreeSet<u32>) -> Result<u64, Error> {
        if slots.is_empty() {
            return Ok(0);
        }
        let mut candidates = Vec::new();
        syscall::for_each_in_batches::<Tuple, Flow>(flows, |tuple, flow| {
            if flow.kind != FlowKind::Stub as u8 && slots.contains(&flow.publish) {
                candidates.push((*tuple, flow.counterpart, flow.publish));
            }
        })
        .map_err(|source| Error::Flows { operation: "read", source })?;
        let mut deleted = 0;
        for (inside, wire, slot) in candidates {
            if !self.permits(slot, &wire.remote)? {
                // The stub first, as the collector does.
                tables::remove(&mut self.tables.flows, "FLOWS", &wire)?;
                tables::remove(&mut self.tables.flows, "FLOWS", &inside)?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// Whether the rules of a publish let a source through: the kernel's own look-up, as the programs make it.
    pub(super) fn permits(&self, slot: u32, source: &Address) -> Result<bool, Error> {
        let Some(entry) = self.publishes.get(&slot) else { return Ok(true) };
        for set in entry.rules.in_order().into_iter().filter(|set| *set != 0) {
            let key = Key::new(PolicyKey::FULL, PolicyKey::new(set, *source));
            let rule = match self.tables.policy.get(&key, 0) {
                Ok(rule) => rule,
                Err(MapError::KeyNotFound) => Rule::REPLACED,
                Err(error) => return Err(failed("read", "POLICY")(error)),
            };
            if rule.refuses(false) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a published port may be reached from an address; true for a port that is not published.
    pub(super) fn admits(&self, publish: &Publish, source: IpAddr) -> Result<bool, Error> {
        match self.slot_of(publish) {
            Some(slot) => self.permits(slot, &source.into()),
            None => Ok(true),
        }
    }
}
