//! The maps. Their sizes are the daemon's to choose where it says so.

use aya_ebpf::{
    Global,
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray},
    macros::btf_map,
};
use beeline_abi::{
    Address, Device, DropReason, Endpoint, EndpointCounters, Flow, FragmentKey, FragmentPorts, LocalAddress,
    MAX_ENDPOINTS, MAX_NETWORKS, MAX_PUBLISHES, Network, Original, PortKey, Publish, PublishCounters,
    SocketKey, Tuple, Uplink,
};

/// The cookie of the network namespace that the daemon serves; sockets of others are left alone.
#[unsafe(no_mangle)]
pub static NETNS_COOKIE: Global<u64> = Global::new(0);

/// Connection tracking. Never an LRU: that drops one half of a flow, and the wrong flows. Sized by the daemon.
#[btf_map]
pub static FLOWS: HashMap<Tuple, Flow, 131072> = HashMap::new();

/// Endpoints by address.
#[btf_map]
pub static ENDPOINTS: HashMap<Address, Endpoint, { MAX_ENDPOINTS as usize }> = HashMap::new();

/// Endpoints by the host's end of their veth pair.
#[btf_map]
pub static DEVICES: HashMap<u32, Device, { MAX_ENDPOINTS as usize }> = HashMap::new();

/// The host's own addresses.
#[btf_map]
pub static ADDRESSES: HashMap<Address, LocalAddress, 4096> = HashMap::new();

/// Devices towards the outside by index.
#[btf_map]
pub static UPLINKS: HashMap<u32, Uplink, 256> = HashMap::new();

/// Networks by id.
#[btf_map]
pub static NETWORKS: HashMap<u32, Network, { MAX_NETWORKS as usize }> = HashMap::new();

/// From (address, protocol, port) to the slot of a publish.
#[btf_map]
pub static PORTS: LpmTrie<PortKey, u32, { MAX_PUBLISHES as usize * 4 }> = LpmTrie::new();

/// Publishes by slot.
#[btf_map]
pub static PUBLISHES: Array<Publish, { MAX_PUBLISHES as usize }> = Array::new();

/// Counters by the publish's slot.
#[btf_map]
pub static PUBLISH_COUNTERS: PerCpuArray<PublishCounters, { MAX_PUBLISHES as usize }> = PerCpuArray::new();

/// Counters by the endpoint's slot.
#[btf_map]
pub static ENDPOINT_COUNTERS: PerCpuArray<EndpointCounters, { MAX_ENDPOINTS as usize }> = PerCpuArray::new();

/// Counters by [`DropReason`].
#[btf_map]
pub static DROPS: PerCpuArray<u64, { DropReason::CAPACITY as usize }> = PerCpuArray::new();

/// Ports of packets whose later fragments are awaited: short-lived, so the oldest may go.
#[btf_map]
pub static FRAGMENTS: LruHashMap<FragmentKey, FragmentPorts, 8192> = LruHashMap::new();

/// Where the host's sockets think they talk to: no socket says when it is gone, so the oldest may go.
#[btf_map]
pub static SOCKETS: LruHashMap<SocketKey, Original, 65536> = LruHashMap::new();
