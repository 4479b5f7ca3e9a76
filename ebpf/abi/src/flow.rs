//! Connection tracking: the flow entry and its lifetime.
//!
//! A translated flow is two entries of one table, made and deleted together: the *tracking entry* under the inside
//! tuple holds the state of both directions, and the *stub* under the wire tuple only leads to it. The tracking
//! entry's `last_seen` decides for both.

use crate::Tuple;

/// The bits of one direction's state: which flags were seen in it.
pub mod tcp_bits {
    /// A segment with SYN.
    pub const SYN: u8 = 1;
    /// A segment with ACK.
    pub const ACK: u8 = 2;
    /// A segment with FIN.
    pub const FIN: u8 = 4;
}

/// What an entry of the table is.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowKind {
    /// Under a wire tuple: leads to the tracking entry.
    Stub = 1,
    /// A flow from outside to a published port.
    Published = 2,
    /// A flow of a container to the outside.
    Masqueraded = 3,
    /// A flow of a container to a published port of its own host.
    Hairpin = 4,
    /// A flow of a socket of the host that is bound to the loopback address: the gateway stands in for it.
    Loopback = 5,
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Away from the container.
    Out,
    /// Towards the container.
    In,
}

impl Direction {
    /// The position of its figures.
    #[inline(always)]
    pub const fn index(self) -> usize {
        match self {
            Self::Out => 0,
            Self::In => 1,
        }
    }
}

/// An entry of the table of flows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The same flow as the other side sees it.
    pub counterpart: Tuple,
    /// Monotonic nanoseconds of the last packet of either direction, coarse. In a stub: when it was made.
    pub last_seen: u64,
    /// The publish's slot, or [`crate::NO_PUBLISH`].
    pub publish: u32,
    /// The publish's generation when the flow was made.
    pub publish_generation: u32,
    /// The endpoint's generation when the flow was made.
    pub endpoint_generation: u32,
    /// A [`FlowKind`].
    pub kind: u8,
    /// [`tcp_bits`] seen from the container. Each direction has a byte of its own, so no update needs an atomic.
    pub seen_out: u8,
    /// [`tcp_bits`] seen towards the container.
    pub seen_in: u8,
    /// One after a RST, zero again after any other segment: a forged RST ends nothing that still talks.
    pub reset: u8,
}

impl Flow {
    /// How stale `last_seen` may be: it is written again after this many nanoseconds, not for each packet.
    pub const GRANULARITY: u64 = 250_000_000;

    /// Whether both directions have acknowledged something.
    #[inline(always)]
    pub const fn is_established(&self) -> bool {
        self.seen_out & self.seen_in & tcp_bits::ACK != 0
    }

    /// Whether the flow is over, so that a SYN on the same tuple opens a new one.
    #[inline(always)]
    pub const fn is_closing(&self) -> bool {
        self.reset != 0 || (self.seen_out | self.seen_in) & tcp_bits::FIN != 0
    }

    /// How many nanoseconds of silence this flow lives.
    pub const fn lifetime(&self, timeouts: &Timeouts) -> u64 {
        const TCP: u8 = crate::ip::TCP;
        const UDP: u8 = crate::ip::UDP;
        const ICMP: u8 = crate::ip::ICMP;
        const ICMPV6: u8 = crate::ip::ICMPV6;
        match self.counterpart.protocol {
            TCP if self.reset != 0 => timeouts.tcp_reset,
            TCP if self.seen_out & self.seen_in & tcp_bits::FIN != 0 => timeouts.tcp_closed,
            TCP if self.is_established() => timeouts.tcp_established,
            TCP => timeouts.tcp_opening,
            UDP => timeouts.udp,
            ICMP | ICMPV6 => timeouts.icmp,
            _ => timeouts.other,
        }
    }
}

/// How many nanoseconds of silence a flow lives, by its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Before both directions have acknowledged.
    pub tcp_opening: u64,
    /// Open in both directions, or half-closed.
    pub tcp_established: u64,
    /// Both directions have sent FIN.
    pub tcp_closed: u64,
    /// After a RST that nothing followed.
    pub tcp_reset: u64,
    /// Datagrams.
    pub udp: u64,
    /// Echo requests.
    pub icmp: u64,
    /// Any other protocol.
    pub other: u64,
}

const SECOND: u64 = 1_000_000_000;

impl Timeouts {
    /// With room in the table: idle connections outlive the two hours of a default TCP keepalive.
    pub const NORMAL: Self = Self {
        tcp_opening: 20 * SECOND,
        tcp_established: 24 * 3600 * SECOND,
        tcp_closed: 30 * SECOND,
        tcp_reset: 40 * SECOND,
        udp: 60 * SECOND,
        icmp: 10 * SECOND,
        other: 600 * SECOND,
    };

    /// With the table filling up: what Calico uses always.
    pub const PRESSED: Self = Self {
        tcp_opening: 10 * SECOND,
        tcp_established: 3600 * SECOND,
        tcp_closed: 5 * SECOND,
        tcp_reset: 5 * SECOND,
        udp: 30 * SECOND,
        icmp: 5 * SECOND,
        other: 60 * SECOND,
    };

    /// The shorter of each two.
    #[must_use]
    pub fn at_most(&self, other: &Self) -> Self {
        Self {
            tcp_opening: self.tcp_opening.min(other.tcp_opening),
            tcp_established: self.tcp_established.min(other.tcp_established),
            tcp_closed: self.tcp_closed.min(other.tcp_closed),
            tcp_reset: self.tcp_reset.min(other.tcp_reset),
            udp: self.udp.min(other.udp),
            icmp: self.icmp.min(other.icmp),
            other: self.other.min(other.other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip;

    fn tcp(seen_out: u8, seen_in: u8, reset: u8) -> Flow {
        let counterpart = Tuple { protocol: ip::TCP, ..Tuple::default() };
        Flow { counterpart, seen_out, seen_in, reset, ..Flow::default() }
    }

    #[test]
    fn a_handshake_moves_a_flow_to_its_long_life_and_a_close_ends_it() {
        use tcp_bits::{ACK, FIN, SYN};
        let life = |flow: Flow| flow.lifetime(&Timeouts::NORMAL) / SECOND;
        assert_eq!(life(tcp(0, SYN, 0)), 20);
        assert_eq!(life(tcp(SYN | ACK, SYN, 0)), 20);
        assert_eq!(life(tcp(SYN | ACK, SYN | ACK, 0)), 86_400);
        assert_eq!(life(tcp(SYN | ACK | FIN, SYN | ACK, 0)), 86_400, "half-closed is not closed");
        assert_eq!(life(tcp(SYN | ACK | FIN, SYN | ACK | FIN, 0)), 30);
        assert_eq!(life(tcp(SYN | ACK, SYN | ACK, 1)), 40);
    }

    #[test]
    fn datagrams_and_queries_have_their_own_lives() {
        let life = |protocol| {
            let counterpart = Tuple { protocol, ..Tuple::default() };
            Flow { counterpart, ..Flow::default() }.lifetime(&Timeouts::NORMAL) / SECOND
        };
        assert_eq!((life(ip::UDP), life(ip::ICMP), life(47)), (60, 10, 600));
    }
}
