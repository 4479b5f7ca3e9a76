//! What the programs know of networks, endpoints and the host's own devices.

use crate::{Address, MacAddress};

/// Flags of a [`Network`].
pub mod network_flags {
    /// Members may talk to each other.
    pub const ICC: u32 = 1;
    /// No way outside the host.
    pub const INTERNAL: u32 = 2;
    /// Packets to the outside get an address of the uplink.
    pub const MASQUERADE: u32 = 4;
    /// The members' addresses are reachable from outside.
    pub const ROUTED: u32 = 8;
}

/// Flags of an [`Uplink`].
pub mod uplink_flags {
    /// The device carries bare IP packets, without an Ethernet header (tun, WireGuard).
    pub const LAYER3: u32 = 1;
}

/// Flags of an [`Endpoint`] and a [`Device`] that the programs raise.
pub mod device_flags {
    /// This endpoint opened a flow to a published port of its own host: packets to it may belong to a translated
    /// flow, and are looked up.
    pub const LOCAL_NAT: u32 = 1;
}

/// A network, by its id.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The gateway's IPv4 address.
    pub gateway: Address,
    /// The gateway's IPv6 address, or zero.
    pub gateway6: Address,
    /// The subnet's IPv4 address and mask as words in network byte order.
    pub subnet: u32,
    /// See [`Self::subnet`].
    pub mask: u32,
    /// The gateway device's hardware address.
    pub gateway_mac: MacAddress,
    /// The gateway device.
    pub gateway_ifindex: u32,
    /// Bytes of the largest IP packet in this network.
    pub mtu: u32,
    /// See [`network_flags`].
    pub flags: u32,
    /// Always zero.
    pub pad: u32,
}

/// An endpoint, by its address: where packets to it go.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The container's hardware address.
    pub mac: MacAddress,
    /// The hardware address the container knows as its gateway.
    pub gateway_mac: MacAddress,
    /// The host's end of the veth pair.
    pub ifindex: u32,
    /// The network's id.
    pub network: u32,
    /// Tells this endpoint from an earlier one with the same address.
    pub generation: u32,
    /// The index of its counters.
    pub slot: u32,
    /// See [`device_flags`].
    pub flags: u32,
    /// The gateway device of its network.
    pub gateway_ifindex: u32,
}

/// A host-side device of a container, by its index: what may come out of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The container's IPv4 address.
    pub address: Address,
    /// The container's IPv6 address, or zero.
    pub address6: Address,
    /// The container's hardware address.
    pub mac: MacAddress,
    /// The network's id.
    pub network: u32,
    /// The index of its counters.
    pub slot: u32,
    /// The endpoint's generation.
    pub generation: u32,
    /// See [`device_flags`].
    pub flags: u32,
}

/// An address of the host itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalAddress {
    /// Always zero: room for what later issues need to know.
    pub flags: u32,
    /// Always zero.
    pub pad: u32,
}

/// A device towards the outside, by its index.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uplink {
    /// The IPv4 address that masqueraded packets carry, or zero.
    pub address: Address,
    /// The IPv6 address that masqueraded packets carry, or zero.
    pub address6: Address,
    /// See [`uplink_flags`].
    pub flags: u32,
    /// Bytes of the largest IP packet.
    pub mtu: u32,
}
