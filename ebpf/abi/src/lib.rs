//! Map layouts, packet parsing and NAT arithmetic shared by Beeline's kernel and user side.
//!
//! Everything here is plain data and pure functions: the same code runs in the BPF programs, in the daemon and in
//! the host's tests. Layouts are `repr(C)` with their padding named, so that a key hashes the same on both sides.
//! An address is always 16 bytes, IPv4 in its v4-mapped form, so that IPv6 changes no layout.
//!
//! A change to any layout here must raise [`LAYOUT_VERSION`]: it is part of the pinned names, and a daemon never
//! reads a map laid out by another version.

#![no_std]
#![cfg_attr(not(feature = "user"), forbid(unsafe_code))]

#[cfg(test)]
extern crate std;

mod accelerate;
mod address;
mod checksum;
mod conversation;
mod counters;
mod crc32c;
mod drop_reason;
mod endpoint;
mod event;
mod flow;
mod group;
mod ipv6;
mod packet;
mod policy;
mod publish;
mod resolver;
mod socket;
mod traffic;
mod tuple;
#[cfg(feature = "user")]
mod user;

pub use accelerate::{AcceleratedEnd, AcceleratedSocket, HOST_SLOT, MAX_ACCELERATED, SocketPair, TEST_SLOT};
pub use address::{Address, MacAddress, Subnet};
pub use checksum::{Difference, fold, ones_complement_sum};
pub use conversation::{Conversation, MAX_CONVERSATIONS, conversation_state};
pub use counters::{EndpointCounters, PublishCounters};
pub use crc32c::SctpChange;
pub use drop_reason::DropReason;
pub use endpoint::{
    Device, Endpoint, LocalAddress, Member, MemberKey, Network, Uplink, device_flags, network_flags,
    uplink_flags,
};
pub use event::{
    BUDGET_WINDOW, Begun, Budget, DROPPED_FRONT, Dropped, EVENT_BYTES, EventLoss, Listening, drop_origin,
    event_kind,
};
pub use flow::{Direction, Flow, FlowKind, Timeouts, tcp_bits};
pub use group::{BOUNDS, BlockRequest, GroupCounters, GroupLatencies, Histogram, group_key};
pub use ipv6::{Extension, Fragment, IPV6_LEN, Ipv6Header, icmpv6};
pub use packet::{
    ArpPacket, ETHERNET_LEN, EthernetHeader, IPV4_LEN, Icmp, Ipv4Header, Ports, arp, ether, icmp, ip,
};
pub use policy::{MAX_RULES, PolicyKey, Rule, RuleSets, action};
pub use publish::{Expired, NO_PUBLISH, PortKey, PortPrefixes, Publish};
pub use resolver::Resolver;
pub use socket::{Original, SocketKey};
pub use traffic::{PeerScope, TRAFFIC_KINDS, Traffic, TrafficClass, TrafficKind, Volume};
pub use tuple::{FragmentKey, FragmentPorts, Side, Tuple};

/// The version of every layout in this crate; part of the pinned maps' names.
pub const LAYOUT_VERSION: u32 = 3;

/// Since which version of the layouts a flow and its key lie as they do now: connections survive an upgrade from any of
/// them. What else the maps hold, the daemon says anew.
pub const FLOW_LAYOUT_SINCE: u32 = 1;

/// The same for a resolver: where containers ask is known before the daemon says it anew.
pub const RESOLVER_LAYOUT_SINCE: u32 = 2;

/// How many endpoints one instance can have: the size of the endpoint tables.
pub const MAX_ENDPOINTS: u32 = 4096;

/// How many publishes (ports or port ranges) one instance can have.
pub const MAX_PUBLISHES: u32 = 16384;

/// How many networks one instance can have.
pub const MAX_NETWORKS: u32 = 1024;

/// How many control groups are counted for, and how many below those are known.
pub const MAX_GROUPS: u32 = MAX_ENDPOINTS;

/// How many candidates of an expired flow one run of the collector takes.
pub const MAX_EXPIRED_PER_RUN: u32 = 24;
