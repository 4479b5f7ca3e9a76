//! What the daemon knows of the maps beside their contents.

use std::{
    collections::{BTreeMap, HashMap},
    os::fd::BorrowedFd,
    time::{SystemTime, UNIX_EPOCH},
};

use aya::maps::MapError;
use beeline_abi::{Device, Member, Publish as Entry};

use super::{
    Error,
    policy::RuleBook,
    resolvers, syscall,
    tables::{Tables, failed},
};

/// The maps, and an index of what is in them.
pub(super) struct State {
    pub(super) tables: Tables,
    /// The used slots of the publish table.
    pub(super) publishes: BTreeMap<u32, Entry>,
    /// The endpoints by their devices; what the programs change of them is in the map alone.
    pub(super) devices: BTreeMap<u32, Device>,
    /// The members of each network in the order of their positions.
    pub(super) members: BTreeMap<u32, Vec<Member>>,
    /// How many flows a network may have that has no quota of its own.
    pub(super) default_flow_quota: u32,
    pub(super) rules: RuleBook,
    /// The namespaces that have a resolver, by the host's ends with which their entries go.
    pub(super) resolvers: HashMap<u32, u64>,
    generation: u32,
}

impl State {
    /// Reads back what an earlier daemon left.
    pub(super) fn restore(
        tables: Tables,
        publish_table: BorrowedFd<'_>,
        flow_entries: u32,
    ) -> Result<Self, Error> {
        let mut publishes = BTreeMap::new();
        // Generations of the past lie below the clock: a daemon makes less than one a second on average.
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as u32;
        let mut generation = clock;
        syscall::for_each_in_batches::<u32, Entry>(publish_table, |slot, entry| {
            generation = generation.max(entry.generation);
            if entry.used != 0 {
                publishes.insert(*slot, *entry);
            }
        })
        .map_err(|source| Error::Map {
            operation: "read",
            map: "PUBLISHES",
            source: Box::new(MapError::IoError(source)),
        })?;
        let mut devices = BTreeMap::new();
        for pair in &tables.devices {
            let (ifindex, device) = pair.map_err(failed("read", "DEVICES"))?;
            generation = generation.max(device.generation);
            devices.insert(ifindex, device);
        }
        let members = members(&tables)?;
        // A flow takes two entries. No network takes the last quarter from all others.
        let default_flow_quota = flow_entries / 2 / 4 * 3;
        let resolvers = resolvers::index(&tables)?;
        let rules = RuleBook::default();
        let mut state =
            Self { tables, publishes, devices, members, default_flow_quota, rules, resolvers, generation };
        state.restore_rules()?;
        Ok(state)
    }

    /// A generation that no flow of the past carries.
    pub(super) fn next_generation(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        self.generation
    }
}

/// The members of each network, up to the first gap in the positions: what an earlier daemon was about to add or remove
/// when it died is added again, or removed, by whoever knows what should be.
fn members(tables: &Tables) -> Result<BTreeMap<u32, Vec<Member>>, Error> {
    let mut positions = BTreeMap::new();
    for pair in &tables.members {
        let (key, member) = pair.map_err(failed("read", "MEMBERS"))?;
        positions.insert((key.network, key.position), member);
    }
    let mut members: BTreeMap<u32, Vec<Member>> = BTreeMap::new();
    for ((network, position), member) in positions {
        let list = members.entry(network).or_default();
        if position as usize == list.len() && !list.contains(&member) {
            list.push(member);
        }
    }
    Ok(members)
}
