//! Collecting flows that are over.
//!
//! The daemon reads the table in batches, judges each tracking entry by its `last_seen`, and hands the candidates to
//! a program that deletes both halves of a flow only if `last_seen` is still what it was judged by.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    mem::{offset_of, size_of},
    os::fd::{AsFd as _, BorrowedFd},
};

use beeline_abi::{
    Address, Expired, Flow, FlowKind, MAX_EXPIRED_PER_RUN, NO_PUBLISH, Network, Timeouts, Tuple,
};

use super::{
    Error,
    endpoints::addresses,
    state::State,
    syscall,
    tables::{self, BPF_EXIST, errno, failed},
};

/// What precedes the candidates in the packet that the program is run with: the least a packet program takes.
const HEADER: usize = 14;

/// A stub older than this many nanoseconds, that no tracking entry claims, is left over from a race.
const ORPHAN_AGE: u64 = 2_000_000_000;

/// What a pass over the table found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pass {
    /// Entries in the table before the pass.
    pub(super) entries: u64,
    /// Candidates handed over for deletion.
    pub(super) expired: u64,
    /// How many flows that are not over each network has.
    pub(super) per_network: BTreeMap<u32, i64>,
}

/// How much of the table of flows a network uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkFlows {
    /// The network's number.
    pub network: u32,
    /// Flows of its members.
    pub flows: u64,
    /// How many they may have together.
    pub quota: u32,
}

/// What a flow must agree with to be alive, as it was at one moment.
pub(super) struct Generations {
    /// The network and the generation of an address.
    endpoints: HashMap<Address, (u32, u32)>,
    publishes: HashMap<u32, u32>,
    networks: Vec<u32>,
    /// The host's own addresses.
    host: HashSet<Address>,
}

impl Generations {
    /// The generation of the endpoint at an address.
    pub(super) fn endpoint(&self, address: &Address) -> Option<u32> {
        self.endpoints.get(address).map(|(_, generation)| *generation)
    }

    /// The network of a flow that is alive.
    fn network(&self, tuple: &Tuple, flow: &Flow) -> Option<u32> {
        let (network, generation) = *self.endpoints.get(&tuple.local)?;
        // Of a container that talks to one of its own host, both ends are known.
        let has_client =
            flow.kind != FlowKind::Hairpin as u8 || self.endpoints.contains_key(&flow.counterpart.remote);
        // Nobody answers to an address that the host has lost: a socket that goes on sending is to get another.
        let has_address =
            flow.kind != FlowKind::Masqueraded as u8 || self.host.contains(&flow.counterpart.local);
        let is_alive = generation == flow.endpoint_generation
            && has_client
            && has_address
            && (flow.publish == NO_PUBLISH
                || self.publishes.get(&flow.publish) == Some(&flow.publish_generation));
        is_alive.then_some(network)
    }
}

impl State {
    /// What flows must agree with now.
    pub(super) fn generations(&self) -> Result<Generations, Error> {
        let networks: Result<Vec<u32>, _> = self.tables.networks.keys().collect();
        let host: Result<HashSet<Address>, _> = self.tables.addresses.keys().collect();
        Ok(Generations {
            endpoints: self
                .devices
                .values()
                .flat_map(|device| addresses(device).map(|at| (at, (device.network, device.generation))))
                .collect(),
            publishes: self.publishes.iter().map(|(slot, entry)| (*slot, entry.generation)).collect(),
            networks: networks.map_err(failed("read", "NETWORKS"))?,
            host: host.map_err(failed("read", "ADDRESSES"))?,
        })
    }

    /// How many flows each network has, and may have.
    pub(super) fn network_flows(&self) -> Result<Vec<NetworkFlows>, Error> {
        let of = |pair: Result<(u32, Network), _>| {
            let (network, entry) = pair.map_err(failed("read", "NETWORKS"))?;
            let counted = tables::get(&self.tables.network_flows, "NETWORK_FLOWS", &network)?;
            // Processors that count at the same time may leave less than none for a moment.
            let flows = u64::try_from(counted.unwrap_or(0)).unwrap_or(0);
            Ok(NetworkFlows { network, flows, quota: entry.flow_quota })
        };
        self.tables.networks.iter().map(of).collect()
    }

    /// Puts right what the programs counted: of flows that ended in a race, or with their endpoint, they know nothing.
    pub(super) fn set_flow_counts(&mut self, per_network: &BTreeMap<u32, i64>) -> Result<(), Error> {
        for (network, count) in per_network {
            match self.tables.network_flows.insert(network, count, BPF_EXIST) {
                Ok(()) => {}
                // The network is gone since.
                Err(error) if errno(&error) == Some(libc::ENOENT) => {}
                Err(error) => return Err(failed("write", "NETWORK_FLOWS")(error)),
            }
        }
        Ok(())
    }
}

/// One pass over the flows. `expire` is the program that deletes; `now` is in monotonic nanoseconds.
pub(super) fn expire(
    flows: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    generations: &Generations,
    now: u64,
    timeouts: &Timeouts,
) -> Result<Pass, Error> {
    let (mut stubs, mut tracked) = (0u64, 0u64);
    let mut candidates = Vec::new();
    let mut per_network: BTreeMap<u32, i64> = generations.networks.iter().map(|id| (*id, 0)).collect();
    let read = |source| Error::Flows { operation: "read", source };
    syscall::for_each_in_batches::<Tuple, Flow>(flows, |tuple, flow| {
        if flow.kind == FlowKind::Stub as u8 {
            stubs += 1;
            return;
        }
        tracked += 1;
        let silence = now.saturating_sub(flow.last_seen);
        match generations.network(tuple, flow) {
            Some(network) if silence <= flow.lifetime(timeouts) => {
                *per_network.entry(network).or_default() += 1;
            }
            _ => candidates.push(Expired { tuple: *tuple, last_seen: flow.last_seen }),
        }
    })
    .map_err(read)?;
    // Each flow is one stub and one tracking entry: as long as the numbers agree there is no orphan.
    if stubs > tracked {
        orphans(flows, now, &mut candidates).map_err(read)?;
    }
    for chunk in candidates.chunks(MAX_EXPIRED_PER_RUN as usize) {
        run(program, chunk).map_err(|source| Error::Flows { operation: "expire", source })?;
    }
    Ok(Pass { entries: stubs + tracked, expired: candidates.len() as u64, per_network })
}

/// Adds the stubs that no tracking entry claims.
fn orphans(flows: BorrowedFd<'_>, now: u64, candidates: &mut Vec<Expired>) -> io::Result<()> {
    let mut claimed = HashSet::new();
    let mut stubs = Vec::new();
    syscall::for_each_in_batches::<Tuple, Flow>(flows, |tuple, flow| {
        if flow.kind != FlowKind::Stub as u8 {
            claimed.insert(flow.counterpart);
        } else if now.saturating_sub(flow.last_seen) > ORPHAN_AGE {
            stubs.push(Expired { tuple: *tuple, last_seen: flow.last_seen });
        }
    })?;
    candidates.extend(stubs.into_iter().filter(|stub| !claimed.contains(&stub.tuple)));
    Ok(())
}

/// Runs the program on some candidates.
fn run(expire: BorrowedFd<'_>, candidates: &[Expired]) -> io::Result<()> {
    let mut packet = vec![0u8; HEADER];
    for candidate in candidates {
        packet.extend_from_slice(&bytes(candidate));
    }
    syscall::run_program(expire.as_fd(), &packet, &mut Vec::new()).map(drop)
}

/// A candidate as it lies in the memory of both sides.
fn bytes(candidate: &Expired) -> [u8; size_of::<Expired>()] {
    let mut bytes = [0u8; size_of::<Expired>()];
    let tuple = &candidate.tuple;
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    for (at, address) in [(offset_of!(Tuple, local), tuple.local), (offset_of!(Tuple, remote), tuple.remote)]
    {
        for (index, word) in address.words.iter().enumerate() {
            put(at + 4 * index, &word.to_ne_bytes());
        }
    }
    put(offset_of!(Tuple, local_port), &tuple.local_port.to_ne_bytes());
    put(offset_of!(Tuple, remote_port), &tuple.remote_port.to_ne_bytes());
    put(offset_of!(Tuple, protocol), &[tuple.protocol, tuple.side]);
    put(offset_of!(Tuple, zone), &tuple.zone.to_ne_bytes());
    put(offset_of!(Expired, last_seen), &candidate.last_seen.to_ne_bytes());
    bytes
}
