//! An endpoint's traffic by protocol and by whom it is with. Per-CPU, indexed by the endpoint's slot.

use crate::{Direction, EndpointCounters, ip};

/// Whom a packet of a container goes to, or comes from.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerScope {
    /// A container of the same network, or all of them.
    Network = 0,
    /// A container of another network of this host, by a published port.
    OtherNetwork = 1,
    /// The host itself.
    Host = 2,
    /// Somebody outside, whom the container asked or whose network routes to it.
    Outside = 3,
    /// Somebody outside, by a published port.
    Published = 4,
}

impl PeerScope {
    /// Every scope, in the order of its number.
    pub const ALL: [Self; 5] =
        [Self::Network, Self::OtherNetwork, Self::Host, Self::Outside, Self::Published];

    /// A container of this host, of the same network or not.
    #[inline(always)]
    pub const fn container(is_same_network: bool) -> Self {
        if is_same_network { Self::Network } else { Self::OtherNetwork }
    }

    /// Whether the peer is a container of this host: the same connection is the peer's, too.
    #[inline(always)]
    pub const fn is_container(self) -> bool {
        matches!(self, Self::Network | Self::OtherNetwork)
    }

    /// The scope as metrics label it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::OtherNetwork => "other_network",
            Self::Host => "host",
            Self::Outside => "outside",
            Self::Published => "published",
        }
    }
}

/// A protocol, or all that are not told apart.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TrafficClass {
    /// TCP.
    Tcp = 0,
    /// UDP.
    Udp = 1,
    /// SCTP.
    Sctp = 2,
    /// ICMP of either family.
    Icmp = 3,
    /// Everything else, what is no IP among it.
    Other = 4,
}

impl TrafficClass {
    /// Every class, in the order of its number.
    pub const ALL: [Self; 5] = [Self::Tcp, Self::Udp, Self::Sctp, Self::Icmp, Self::Other];

    /// The class of an IP protocol.
    #[inline(always)]
    pub const fn of(protocol: u8) -> Self {
        match protocol {
            ip::TCP => Self::Tcp,
            ip::UDP => Self::Udp,
            ip::SCTP => Self::Sctp,
            ip::ICMP | ip::ICMPV6 => Self::Icmp,
            _ => Self::Other,
        }
    }

    /// The class as metrics label it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Icmp => "icmp",
            Self::Other => "other",
        }
    }
}

/// How many kinds of traffic there are: each class with each scope.
pub const TRAFFIC_KINDS: usize = TrafficClass::ALL.len() * PeerScope::ALL.len();

/// A class and a scope: the index of their volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TrafficKind(u32);

impl TrafficKind {
    /// What never leaves a network and is no IP: questions for hardware addresses.
    pub const NEIGHBOURS: Self = Self::new(TrafficClass::Other, PeerScope::Network);

    /// The kind of a packet of this class that has to do with such a peer.
    #[inline(always)]
    pub const fn new(class: TrafficClass, peer: PeerScope) -> Self {
        Self(class as u32 * PeerScope::ALL.len() as u32 + peer as u32)
    }

    /// The index of its volume.
    #[inline(always)]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Bytes and packets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Bytes, Ethernet header included.
    pub bytes: u64,
    /// Packets; a GSO packet counts its segments.
    pub packets: u64,
}

impl core::ops::AddAssign for Volume {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.packets += other.packets;
    }
}

/// One endpoint's traffic.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// What the container sent, by [`TrafficKind`].
    pub sent: [Volume; TRAFFIC_KINDS],
    /// What was delivered to it, by [`TrafficKind`].
    pub received: [Volume; TRAFFIC_KINDS],
}

impl Traffic {
    /// What was delivered, or sent, of a kind.
    pub fn volume(&self, direction: Direction, kind: TrafficKind) -> Volume {
        let volumes = match direction {
            Direction::Out => &self.sent,
            Direction::In => &self.received,
        };
        volumes.get(kind.index()).copied().unwrap_or_default()
    }

    /// All kinds together.
    pub fn total(&self) -> EndpointCounters {
        let mut total = EndpointCounters::default();
        for (sent, received) in self.sent.iter().zip(&self.received) {
            total.tx_bytes += sent.bytes;
            total.tx_packets += sent.packets;
            total.rx_bytes += received.bytes;
            total.rx_packets += received.packets;
        }
        total
    }
}

impl core::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        for (volume, more) in self.sent.iter_mut().zip(other.sent) {
            *volume += more;
        }
        for (volume, more) in self.received.iter_mut().zip(other.received) {
            *volume += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_and_scope_has_an_index_of_its_own() {
        let mut seen = [false; TRAFFIC_KINDS];
        for class in TrafficClass::ALL {
            for peer in PeerScope::ALL {
                let index = TrafficKind::new(class, peer).index();
                assert!(!core::mem::replace(&mut seen[index], true), "{class:?} {peer:?}");
            }
        }
        assert!(seen.iter().all(|seen| *seen));
    }

    #[test]
    fn what_is_added_up_is_the_sum_of_its_kinds() {
        let mut traffic = Traffic::default();
        let mut processor = Traffic::default();
        let kind = TrafficKind::new(TrafficClass::Udp, PeerScope::Host).index();
        processor.sent[kind] = Volume { bytes: 100, packets: 2 };
        processor.received[TrafficKind::NEIGHBOURS.index()] = Volume { bytes: 42, packets: 1 };
        traffic += processor;
        traffic += processor;
        let total = traffic.total();
        assert_eq!((total.tx_bytes, total.tx_packets), (200, 4));
        assert_eq!((total.rx_bytes, total.rx_packets), (84, 2));
    }
}
