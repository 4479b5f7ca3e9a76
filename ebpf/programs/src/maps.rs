//! The maps. Their sizes are the daemon's to choose where it says so.

//!
//! Reading a map is unsafe, as another processor may write the value meanwhile. Here it is not: all values are plain data
//! of which any bytes are valid, and where a mix of old and new would mislead, a generation tells.

use aya_ebpf::{
    Global,
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray},
    macros::btf_map,
};
use beeline_abi::{
    Address, Device, DropReason, Endpoint, EndpointCounters, Flow, FragmentKey, FragmentPorts, LocalAddress,
    MAX_ENDPOINTS, MAX_NETWORKS, MAX_PUBLISHES, MAX_RULES, Member, MemberKey, Network, Original, PolicyKey,
    PortKey, Publish, PublishCounters, Resolver, Rule, SocketKey, Traffic, Tuple, Uplink,
};

/// The cookie of the network namespace that the daemon serves; sockets of others are left alone.
#[unsafe(no_mangle)]
pub static NETNS_COOKIE: Global<u64> = Global::new(0);

/// Connection tracking. Never an LRU: that drops one half of a flow, and the wrong flows. Sized by the daemon.
#[btf_map]
pub static FLOWS: HashMap<Tuple, Flow, 131072> = HashMap::new();

/// Endpoints by address: of both families, and the link-local one, told apart by its network.
#[btf_map]
pub static ENDPOINTS: HashMap<Address, Endpoint, { 3 * MAX_ENDPOINTS as usize }> = HashMap::new();

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

/// Networks' ids by their gateway device.
#[btf_map]
pub static GATEWAYS: HashMap<u32, u32, { MAX_NETWORKS as usize }> = HashMap::new();

/// How many flows each network has. Counted as they are made and deleted, and put right by the daemon at each collection.
#[btf_map]
pub static NETWORK_FLOWS: HashMap<u32, i64, { MAX_NETWORKS as usize }> = HashMap::new();

/// The members of each network, for what is sent to all of them.
#[btf_map]
pub static MEMBERS: HashMap<MemberKey, Member, { MAX_ENDPOINTS as usize }> = HashMap::new();

/// From (address, protocol, port) to the slot of a publish.
#[btf_map]
pub static PORTS: LpmTrie<PortKey, u32, { MAX_PUBLISHES as usize * 4 }> = LpmTrie::new();

/// Publishes by slot.
#[btf_map]
pub static PUBLISHES: Array<Publish, { MAX_PUBLISHES as usize }> = Array::new();

/// Counters by the publish's slot.
#[btf_map]
pub static PUBLISH_COUNTERS: PerCpuArray<PublishCounters, { MAX_PUBLISHES as usize }> = PerCpuArray::new();

/// From (set of rules, source) to what is said of the source. A set has at least one counted entry for each two here.
#[btf_map]
pub static POLICY: LpmTrie<PolicyKey, Rule, { MAX_RULES as usize * 2 }> = LpmTrie::new();

/// From (family, source) to the daemon's rule, for the guard.
#[btf_map]
pub static GUARD: LpmTrie<PolicyKey, Rule, { MAX_RULES as usize }> = LpmTrie::new();

/// Counters by a rule's index.
#[btf_map]
pub static RULE_COUNTERS: PerCpuArray<u64, { MAX_RULES as usize }> = PerCpuArray::new();

/// Counters by the endpoint's slot.
#[btf_map]
pub static ENDPOINT_COUNTERS: PerCpuArray<EndpointCounters, { MAX_ENDPOINTS as usize }> = PerCpuArray::new();

/// The same by protocol and peer. As many endpoints as the daemon has memory for: what
/// it has none for is counted above.
#[btf_map]
pub static TRAFFIC: PerCpuArray<Traffic, { MAX_ENDPOINTS as usize }> = PerCpuArray::new();

/// Resolvers by the cookie of the network namespace that asks them.
#[btf_map]
pub static RESOLVERS: HashMap<u64, Resolver, { MAX_ENDPOINTS as usize }> = HashMap::new();

/// Counters by [`DropReason`].
#[btf_map]
pub static DROPS: PerCpuArray<u64, { DropReason::CAPACITY as usize }> = PerCpuArray::new();

/// Ports of packets whose later fragments are awaited: short-lived, so the oldest may go.
#[btf_map]
pub static FRAGMENTS: LruHashMap<FragmentKey, FragmentPorts, 8192> = LruHashMap::new();

/// Where the host's sockets think they talk to: no socket says when it is gone, so the oldest may go.
#[btf_map]
pub static SOCKETS: LruHashMap<SocketKey, Original, 65536> = LruHashMap::new();

/// A table that can be looked up by key.
pub trait Table<K, V> {
    /// The value, where it lies in the map.
    fn find(&'static self, key: &K) -> Option<&'static V>;

    /// The value, to be changed where it lies in the map.
    fn find_mut(&'static self, key: &K) -> Option<&'static mut V>;
}

macro_rules! tables {
    ($($kind:ident),*) => {
        $(
            impl<K, V, const N: usize, const FLAGS: usize> Table<K, V> for $kind<K, V, N, FLAGS> {
                #[inline(always)]
                fn find(&'static self, key: &K) -> Option<&'static V> {
                    // SAFETY: see the top of this module; an element outlives the program's run (RCU).
                    unsafe { self.get(key) }
                }

                #[inline(always)]
                fn find_mut(&'static self, key: &K) -> Option<&'static mut V> {
                    // SAFETY: as above; two runs that change the same value at once both write whole fields.
                    self.get_ptr_mut(key).map(|value| unsafe { &mut *value })
                }
            }
        )*
    };
}

tables!(HashMap, LruHashMap);

/// This processor's value of a per-CPU array. No other program of ours runs on it at the same time: programs on packets run
/// with bottom halves disabled.
#[inline(always)]
pub fn own<T, const N: usize>(array: &'static PerCpuArray<T, N>, index: u32) -> Option<&'static mut T> {
    // SAFETY: the pointer is to this processor's copy, which nobody else uses.
    array.get_ptr_mut(index).map(|value| unsafe { &mut *value })
}
