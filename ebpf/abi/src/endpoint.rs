//! What the programs know of networks, endpoints and the host's own devices.

use crate::{Address, MacAddress, Subnet};

/// Flags of a [`Network`].
pub mod network_flags {
    /// Members may talk to each other.
    pub const ICC: u32 = 1;
    /// No way outside the host.
    pub const INTERNAL: u32 = 2;
    /// Packets to the outside get an address of the uplink.
    pub const MASQUERADE: u32 = 4;
    /// The members' IPv4 addresses are reachable from outside, and packets keep them on their way there.
    pub const ROUTED: u32 = 8;
    /// The same of IPv6.
    pub const ROUTED6: u32 = 16;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The gateway's IPv4 address, or zero.
    pub gateway: Address,
    /// The gateway's IPv6 address, or zero.
    pub gateway6: Address,
    /// The IPv4 addresses.
    pub subnet: Subnet,
    /// The IPv6 addresses.
    pub subnet6: Subnet,
    /// The gateway device's hardware address.
    pub gateway_mac: MacAddress,
    /// The gateway device.
    pub gateway_ifindex: u32,
    /// Bytes of the largest IP packet in this network.
    pub mtu: u32,
    /// See [`network_flags`].
    pub flags: u32,
    /// How many flows its members may have, together.
    pub flow_quota: u32,
    /// How many members there are: their positions in the list of members count from zero.
    pub members: u32,
    /// The set of rules for the published ports of its members, or zero.
    pub rules: u32,
}

impl Network {
    /// Whether an address is one of the network's own.
    #[inline(always)]
    pub const fn contains(&self, address: &Address) -> bool {
        if address.is_v4() { self.subnet.contains(address) } else { self.subnet6.contains(address) }
    }

    /// Whether the members' addresses in the family of this one are reachable from outside.
    #[inline(always)]
    pub const fn is_routed(&self, address: &Address) -> bool {
        let flag = if address.is_v4() { network_flags::ROUTED } else { network_flags::ROUTED6 };
        self.flags & flag != 0
    }

    /// Whether packets to the outside from this address get one of the uplink.
    #[inline(always)]
    pub const fn is_masqueraded(&self, source: &Address) -> bool {
        self.flags & network_flags::MASQUERADE != 0 && !self.is_routed(source)
    }

    /// The gateway's address in the family of another address, or zero.
    #[inline(always)]
    pub const fn gateway_for(&self, address: &Address) -> &Address {
        if address.is_v4() { &self.gateway } else { &self.gateway6 }
    }
}

/// A place in a network's list of members.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemberKey {
    /// The network's id.
    pub network: u32,
    /// The position, below [`Network::members`].
    pub position: u32,
}

/// A member of a network: where a copy of what is sent to all goes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The host's end of the veth pair.
    pub ifindex: u32,
    /// The index of its counters.
    pub slot: u32,
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
    /// The container's IPv4 address, or zero.
    pub address: Address,
    /// The container's IPv6 address, or zero.
    pub address6: Address,
    /// The link-local address of its hardware address.
    pub link_local: Address,
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

impl Device {
    /// The container's address in the family of another address, or zero.
    #[inline(always)]
    pub const fn own_for(&self, address: &Address) -> &Address {
        if address.is_v4() { &self.address } else { &self.address6 }
    }
}

/// An address of the host itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalAddress {
    /// Always zero: room for what may be needed to be known of it.
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

impl Uplink {
    /// The address that masqueraded packets carry in the family of another address; none if the device has none.
    #[inline(always)]
    pub const fn address_for(&self, address: &Address) -> Option<&Address> {
        if address.is_v4() {
            if self.address.is_v4() { Some(&self.address) } else { None }
        } else if self.address6.is_any_v6() {
            None
        } else {
            Some(&self.address6)
        }
    }
}
