//! What identifies a flow.

use crate::Address;

/// Which of its two faces a flow's packet shows.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// As the container sees it: the local address is the container's.
    Inside = 0,
    /// As the other end sees it: the local address is the host's.
    Wire = 1,
}

/// A flow as one side sees it. "Local" is the container's end, whichever way a packet goes, so both directions of a
/// flow have the same tuple on a side. Ports are in the machine's byte order; an ICMP query has its identifier as the
/// local port and zero as the remote one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The address at the container's end.
    pub local: Address,
    /// The address at the other end.
    pub remote: Address,
    /// The port at the container's end.
    pub local_port: u16,
    /// The port at the other end.
    pub remote_port: u16,
    /// The IP protocol.
    pub protocol: u8,
    /// A [`Side`].
    pub side: u8,
    /// Of a conversation its endpoint's slot, otherwise zero: room for overlapping address ranges.
    pub zone: u16,
}

impl Tuple {
    /// The tuple of a packet that goes away from the container's end.
    #[inline(always)]
    pub const fn outbound(
        side: Side,
        protocol: u8,
        source: (Address, u16),
        destination: (Address, u16),
    ) -> Self {
        Self {
            local: source.0,
            remote: destination.0,
            local_port: source.1,
            remote_port: destination.1,
            protocol,
            side: side as u8,
            zone: 0,
        }
    }

    /// The tuple of a packet that goes towards the container's end.
    #[inline(always)]
    pub const fn inbound(
        side: Side,
        protocol: u8,
        source: (Address, u16),
        destination: (Address, u16),
    ) -> Self {
        Self::outbound(side, protocol, destination, source)
    }

    /// Whether this tuple is one of the given side.
    #[inline(always)]
    pub const fn is(&self, side: Side) -> bool {
        self.side == side as u8
    }
}

/// Identifies the fragments of one packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    /// The source address.
    pub source: Address,
    /// The destination address.
    pub destination: Address,
    /// The identification field.
    pub id: u32,
    /// The device the fragments arrive at: two instances or a hairpin must not mix.
    pub ifindex: u32,
    /// The IP protocol.
    pub protocol: u32,
}

/// What the first fragment tells about the later ones.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentPorts {
    /// The source port; for ICMP the identifier.
    pub source: u16,
    /// The destination port; for ICMP the type.
    pub destination: u16,
}
