//! The maps as a typed API.

use std::os::fd::OwnedFd;

use aya::{
    Pod,
    maps::{Array, HashMap, LpmTrie, MapData, MapError, MapInfo, PerCpuArray, lpm_trie::Key},
};
use beeline_abi::{
    AcceleratedEnd, Address, Device, Endpoint, EndpointCounters, Flow, Listening, LocalAddress,
    MAX_ENDPOINTS, Member, MemberKey, Network, PolicyKey, PortKey, Publish, PublishCounters, Resolver, Rule,
    Traffic, Tuple, Uplink,
};

use super::{Error, pins::Pins, syscall};

/// Every map that is pinned, by its name in the object.
pub(super) const PINNED: [&str; 34] = [
    "FLOWS",
    "ENDPOINTS",
    "DEVICES",
    "ADDRESSES",
    "UPLINKS",
    "NETWORKS",
    "GATEWAYS",
    "MEMBERS",
    "NETWORK_FLOWS",
    "PORTS",
    "PUBLISHES",
    "PUBLISH_COUNTERS",
    "POLICY",
    "GUARD",
    "RULE_COUNTERS",
    "ENDPOINT_COUNTERS",
    "TRAFFIC",
    "DROPS",
    "FRAGMENTS",
    "SOCKETS",
    "RESOLVERS",
    "ENDS",
    "ACCELERATED",
    "PEERS",
    "SHORTCUTS",
    "GROUPS",
    "LATENCIES",
    "ALIASES",
    "NESTED",
    "CONNECTS",
    "CONVERSATIONS",
    "LISTENING",
    "EVENTS",
    "EVENT_LOSSES",
];

/// How much memory the figures of traffic by protocol and peer may take on all processors together: more endpoints than it
/// is enough for have their sums alone.
const TRAFFIC_MEMORY: usize = 64 << 20;

/// How many endpoints have such figures.
pub(super) fn traffic_entries() -> u32 {
    let cpus = aya::util::nr_cpus().unwrap_or(1).max(1);
    let most = TRAFFIC_MEMORY / (cpus * size_of::<Traffic>());
    u32::try_from(most).unwrap_or(MAX_ENDPOINTS).clamp(1, MAX_ENDPOINTS)
}

/// The maps the daemon reads and writes.
pub(super) struct Tables {
    pub(super) endpoints: HashMap<MapData, Address, Endpoint>,
    pub(super) devices: HashMap<MapData, u32, Device>,
    pub(super) addresses: HashMap<MapData, Address, LocalAddress>,
    pub(super) uplinks: HashMap<MapData, u32, Uplink>,
    pub(super) networks: HashMap<MapData, u32, Network>,
    pub(super) gateways: HashMap<MapData, u32, u32>,
    pub(super) members: HashMap<MapData, MemberKey, Member>,
    pub(super) flows: HashMap<MapData, Tuple, Flow>,
    pub(super) network_flows: HashMap<MapData, u32, i64>,
    pub(super) ports: LpmTrie<MapData, PortKey, u32>,
    pub(super) publishes: Array<MapData, Publish>,
    pub(super) publish_counters: PerCpuArray<MapData, PublishCounters>,
    pub(super) policy: LpmTrie<MapData, PolicyKey, Rule>,
    pub(super) guard: LpmTrie<MapData, PolicyKey, Rule>,
    pub(super) rule_counters: PerCpuArray<MapData, u64>,
    pub(super) endpoint_counters: PerCpuArray<MapData, EndpointCounters>,
    pub(super) traffic: PerCpuArray<MapData, Traffic>,
    pub(super) drops: PerCpuArray<MapData, u64>,
    pub(super) resolvers: HashMap<MapData, u64, Resolver>,
    pub(super) ends: HashMap<MapData, Address, AcceleratedEnd>,
    pub(super) shortcuts: PerCpuArray<MapData, EndpointCounters>,
    pub(super) listening: Array<MapData, Listening>,
    pub(super) event_losses: PerCpuArray<MapData, u64>,
}

/// Write only what is not there (linux/bpf.h).
pub(super) const BPF_NOEXIST: u64 = 1;

/// Write only what is there (linux/bpf.h).
pub(super) const BPF_EXIST: u64 = 2;

/// Reports a failure with the map it is about.
pub(super) fn failed(operation: &'static str, map: &'static str) -> impl Fn(MapError) -> Error {
    move |source| Error::Map { operation, map, source: Box::new(source) }
}

/// Opens a pinned map. aya compares the sizes of keys and values with those of the kernel's map.
fn open<T>(
    pins: &Pins,
    name: &'static str,
    typed: impl Fn(MapData) -> Result<T, MapError>,
) -> Result<T, Error> {
    MapData::from_pin(pins.map(name)).and_then(typed).map_err(failed("open", name))
}

fn hash<K: Pod, V: Pod>(pins: &Pins, name: &'static str) -> Result<HashMap<MapData, K, V>, Error> {
    open(pins, name, |data| HashMap::try_from(aya::maps::Map::HashMap(data)))
}

fn lpm<K: Pod, V: Pod>(pins: &Pins, name: &'static str) -> Result<LpmTrie<MapData, K, V>, Error> {
    open(pins, name, |data| LpmTrie::try_from(aya::maps::Map::LpmTrie(data)))
}

fn per_cpu<V: Pod>(pins: &Pins, name: &'static str) -> Result<PerCpuArray<MapData, V>, Error> {
    open(pins, name, |data| PerCpuArray::try_from(aya::maps::Map::PerCpuArray(data)))
}

impl Tables {
    /// Opens the pinned maps.
    pub(super) fn open(pins: &Pins) -> Result<Self, Error> {
        Ok(Self {
            endpoints: hash(pins, "ENDPOINTS")?,
            devices: hash(pins, "DEVICES")?,
            addresses: hash(pins, "ADDRESSES")?,
            uplinks: hash(pins, "UPLINKS")?,
            networks: hash(pins, "NETWORKS")?,
            gateways: hash(pins, "GATEWAYS")?,
            members: hash(pins, "MEMBERS")?,
            flows: hash(pins, "FLOWS")?,
            network_flows: hash(pins, "NETWORK_FLOWS")?,
            ports: lpm(pins, "PORTS")?,
            publishes: open(pins, "PUBLISHES", |data| Array::try_from(aya::maps::Map::Array(data)))?,
            publish_counters: per_cpu(pins, "PUBLISH_COUNTERS")?,
            policy: lpm(pins, "POLICY")?,
            guard: lpm(pins, "GUARD")?,
            rule_counters: per_cpu(pins, "RULE_COUNTERS")?,
            endpoint_counters: per_cpu(pins, "ENDPOINT_COUNTERS")?,
            traffic: per_cpu(pins, "TRAFFIC")?,
            drops: per_cpu(pins, "DROPS")?,
            resolvers: hash(pins, "RESOLVERS")?,
            ends: hash(pins, "ENDS")?,
            shortcuts: per_cpu(pins, "SHORTCUTS")?,
            listening: open(pins, "LISTENING", |data| Array::try_from(aya::maps::Map::Array(data)))?,
            event_losses: per_cpu(pins, "EVENT_LOSSES")?,
        })
    }
}

/// Adds up a per-CPU slot.
pub(super) fn sum<V: Pod + Default + std::ops::AddAssign>(
    map: &PerCpuArray<MapData, V>,
    name: &'static str,
    slot: u32,
) -> Result<V, Error> {
    let values = map.get(&slot, 0).map_err(failed("read", name))?;
    let mut total = V::default();
    for value in values.iter() {
        total += *value;
    }
    Ok(total)
}

/// Zeroes a per-CPU slot for its next owner.
pub(super) fn clear<V: Pod + Default>(
    map: &mut PerCpuArray<MapData, V>,
    name: &'static str,
    slot: u32,
) -> Result<(), Error> {
    let cpus = map.get(&slot, 0).map_err(failed("read", name))?.len();
    let zeroes = vec![V::default(); cpus]
        .try_into()
        .map_err(|error| failed("clear", name)(MapError::IoError(error)))?;
    map.set(slot, zeroes, 0).map_err(failed("clear", name))
}

/// Removes a key; one that is not there is fine.
pub(super) fn remove<K: Pod, V: Pod>(
    map: &mut HashMap<MapData, K, V>,
    name: &'static str,
    key: &K,
) -> Result<(), Error> {
    removed(map.remove(key), name)
}

/// Removes a prefix; one that is not there is fine.
pub(super) fn remove_prefix<K: Pod, V: Pod>(
    map: &mut LpmTrie<MapData, K, V>,
    name: &'static str,
    key: &Key<K>,
) -> Result<(), Error> {
    removed(map.remove(key), name)
}

pub(super) fn removed(outcome: Result<(), MapError>, name: &'static str) -> Result<(), Error> {
    match outcome {
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(error) if errno(&error) == Some(libc::ENOENT) => Ok(()),
        Err(error) => Err(failed("remove from", name)(error)),
    }
}

/// What the kernel said when it refused.
pub(super) fn errno(error: &MapError) -> Option<i32> {
    match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}

/// Reads a key, if it is there.
pub(super) fn get<K: Pod, V: Pod>(
    map: &HashMap<MapData, K, V>,
    name: &'static str,
    key: &K,
) -> Result<Option<V>, Error> {
    match map.get(key, 0) {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(failed("read", name)(error)),
    }
}

/// Opens the table of flows, which is read in batches, and tells how many entries it holds at most.
pub(super) fn open_flows(pins: &Pins) -> Result<(OwnedFd, u32), Error> {
    let path = pins.map("FLOWS");
    let info = MapInfo::from_pin(&path).map_err(failed("open", "FLOWS"))?;
    if (info.key_size() as usize, info.value_size() as usize) != (size_of::<Tuple>(), size_of::<Flow>()) {
        return Err(Error::Missing { what: "table of flows of this layout".into() });
    }
    Ok((open_raw(pins, "FLOWS")?, info.max_entries()))
}

/// Opens a pinned map to be read in batches.
pub(super) fn open_raw(pins: &Pins, name: &str) -> Result<OwnedFd, Error> {
    let path = pins.map(name);
    syscall::open_pinned(&path).map_err(|source| Error::Pins { operation: "open", path, source })
}
