//! What the daemon knows of the maps beside their contents.

use std::{
    collections::BTreeMap,
    os::fd::BorrowedFd,
    time::{SystemTime, UNIX_EPOCH},
};

use aya::maps::MapError;
use beeline_abi::Publish as Entry;

use super::{
    Error, syscall,
    tables::{Tables, failed},
};

/// The maps, and an index of the publishes in them.
pub(super) struct State {
    pub(super) tables: Tables,
    /// The used slots of the publish table.
    pub(super) publishes: BTreeMap<u32, Entry>,
    generation: u32,
}

impl State {
    /// Reads back what an earlier daemon left.
    pub(super) fn restore(tables: Tables, publish_table: BorrowedFd<'_>) -> Result<Self, Error> {
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
        for pair in &tables.devices {
            generation = generation.max(pair.map_err(failed("read", "DEVICES"))?.1.generation);
        }
        Ok(Self { tables, publishes, generation })
    }

    /// A generation that no flow of the past carries.
    pub(super) fn next_generation(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        self.generation
    }
}
