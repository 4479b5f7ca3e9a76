//! Parsing: from bytes to fields, nothing assumed.
//!
//! Every function takes an array of the header's exact size, so that the caller's bounds check is the type.

use crate::{Address, MacAddress, icmpv6};

/// Bytes of an Ethernet header.
pub const ETHERNET_LEN: usize = 14;

/// Bytes of an IPv4 header without options.
pub const IPV4_LEN: usize = 20;

/// Ethernet protocol numbers.
pub mod ether {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// A VLAN tag, with the protocol of what it tags behind it.
    pub const VLAN: u16 = 0x8100;
    /// The outer one of two tags.
    pub const SERVICE_VLAN: u16 = 0x88a8;
}

/// IP protocol numbers.
pub mod ip {
    /// IPv6's hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6's routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6's fragment header.
    pub const FRAGMENT: u8 = 44;
    /// IPsec's authentication header.
    pub const AUTHENTICATION: u8 = 51;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// Nothing follows.
    pub const NONE: u8 = 59;
    /// IPv6's options for the destination.
    pub const DESTINATION: u8 = 60;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// ICMP types.
pub mod icmp {
    /// Answer to an echo request.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable; with code 4, fragmentation needed.
    pub const UNREACHABLE: u8 = 3;
    /// An obsolete error that still carries a packet.
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time to live, or reassembly time, exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
}

/// ARP operations and its fixed fields.
pub mod arp {
    /// Who has this address?
    pub const REQUEST: u16 = 1;
    /// I have.
    pub const REPLY: u16 = 2;
    /// Bytes of an ARP packet for IPv4 over Ethernet.
    pub const LEN: usize = 28;
}

/// An Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetHeader {
    /// Where to.
    pub destination: MacAddress,
    /// Where from.
    pub source: MacAddress,
    /// See [`ether`].
    pub protocol: u16,
}

impl EthernetHeader {
    /// Reads the header.
    #[inline(always)]
    pub const fn parse(b: &[u8; ETHERNET_LEN]) -> Self {
        Self {
            destination: MacAddress::new([b[0], b[1], b[2], b[3], b[4], b[5]]),
            source: MacAddress::new([b[6], b[7], b[8], b[9], b[10], b[11]]),
            protocol: u16::from_be_bytes([b[12], b[13]]),
        }
    }
}

/// An IPv4 header without its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Header {
    /// Bytes of the header, options included: 20 to 60.
    pub header_len: u8,
    /// Bytes of the whole packet as the header says; zero or too small for GSO packets of some drivers.
    pub total_len: u16,
    /// Identification: the same in all fragments of a packet.
    pub id: u16,
    /// Whether fragments follow.
    pub more_fragments: bool,
    /// Whether the packet must not be fragmented.
    pub dont_fragment: bool,
    /// Where this fragment belongs, in units of 8 bytes.
    pub fragment_offset: u16,
    /// Time to live.
    pub ttl: u8,
    /// See [`ip`].
    pub protocol: u8,
    /// The header's checksum as it lies in memory.
    pub check: u16,
    /// The source address as it lies in memory.
    pub source: u32,
    /// The destination address as it lies in memory.
    pub destination: u32,
}

impl Ipv4Header {
    /// Reads the header; none if it is not IPv4 or shorter than itself.
    #[inline(always)]
    pub const fn parse(b: &[u8; IPV4_LEN]) -> Option<Self> {
        let header_len = (b[0] & 0x0f) * 4;
        if b[0] >> 4 != 4 || header_len < IPV4_LEN as u8 {
            return None;
        }
        let fragment = u16::from_be_bytes([b[6], b[7]]);
        Some(Self {
            header_len,
            total_len: u16::from_be_bytes([b[2], b[3]]),
            id: u16::from_be_bytes([b[4], b[5]]),
            more_fragments: fragment & 0x2000 != 0,
            dont_fragment: fragment & 0x4000 != 0,
            fragment_offset: fragment & 0x1fff,
            ttl: b[8],
            protocol: b[9],
            check: u16::from_ne_bytes([b[10], b[11]]),
            source: u32::from_ne_bytes([b[12], b[13], b[14], b[15]]),
            destination: u32::from_ne_bytes([b[16], b[17], b[18], b[19]]),
        })
    }

    /// Whether the packet is one of several fragments.
    #[inline(always)]
    pub const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// The source address as maps hold it.
    #[inline(always)]
    pub const fn source_address(&self) -> Address {
        Address::v4(self.source)
    }

    /// The destination address as maps hold it.
    #[inline(always)]
    pub const fn destination_address(&self) -> Address {
        Address::v4(self.destination)
    }
}

/// The first words of a TCP or UDP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// The source port.
    pub source: u16,
    /// The destination port.
    pub destination: u16,
}

impl Ports {
    /// Reads the ports.
    #[inline(always)]
    pub const fn parse(b: &[u8; 4]) -> Self {
        Self { source: u16::from_be_bytes([b[0], b[1]]), destination: u16::from_be_bytes([b[2], b[3]]) }
    }

    /// The ports as they lie in memory.
    #[inline(always)]
    pub const fn word(self) -> u32 {
        let (s, d) = (self.source.to_be_bytes(), self.destination.to_be_bytes());
        u32::from_ne_bytes([s[0], s[1], d[0], d[1]])
    }
}

/// The fixed part of an ICMP or ICMPv6 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// See [`icmp`] and [`icmpv6`].
    pub kind: u8,
    /// What the type leaves open.
    pub code: u8,
    /// The identifier of a query.
    pub id: u16,
}

impl Icmp {
    /// Reads the message's first 8 bytes.
    #[inline(always)]
    pub const fn parse(b: &[u8; 8]) -> Self {
        Self { kind: b[0], code: b[1], id: u16::from_be_bytes([b[4], b[5]]) }
    }

    /// Whether the message, of ICMP or of ICMPv6, carries the start of the packet that caused it.
    #[inline(always)]
    pub const fn is_error(&self, is_v4: bool) -> bool {
        if !is_v4 {
            return matches!(self.kind, icmpv6::UNREACHABLE..=icmpv6::PARAMETER_PROBLEM);
        }
        matches!(
            self.kind,
            icmp::UNREACHABLE
                | icmp::SOURCE_QUENCH
                | icmp::REDIRECT
                | icmp::TIME_EXCEEDED
                | icmp::PARAMETER_PROBLEM
        )
    }
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpPacket {
    /// See [`arp`].
    pub operation: u16,
    /// Who speaks.
    pub sender_mac: MacAddress,
    /// Its address as it lies in memory.
    pub sender: u32,
    /// The address asked for as it lies in memory.
    pub target: u32,
}

impl ArpPacket {
    /// Reads the packet; none if it is not IPv4 over Ethernet.
    #[inline(always)]
    pub const fn parse(b: &[u8; arp::LEN]) -> Option<Self> {
        if !matches!((b[0], b[1], b[2], b[3], b[4], b[5]), (0, 1, 8, 0, 6, 4)) {
            return None;
        }
        Some(Self {
            operation: u16::from_be_bytes([b[6], b[7]]),
            sender_mac: MacAddress::new([b[8], b[9], b[10], b[11], b[12], b[13]]),
            sender: u32::from_ne_bytes([b[14], b[15], b[16], b[17]]),
            target: u32::from_ne_bytes([b[24], b[25], b[26], b[27]]),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_header_is_read() {
        let bytes =
            [0x45, 0, 0x05, 0xdc, 0x12, 0x34, 0x40, 0, 64, 6, 0xab, 0xcd, 10, 0, 0, 2, 192, 168, 1, 9];
        let header = Ipv4Header::parse(&bytes).expect("IPv4");
        assert_eq!((header.header_len, header.total_len, header.id), (20, 1500, 0x1234));
        assert!(header.dont_fragment && !header.is_fragment());
        assert_eq!((header.ttl, header.protocol), (64, ip::TCP));
        assert_eq!(header.source.to_ne_bytes(), [10, 0, 0, 2]);
    }

    #[test]
    fn what_is_not_ipv4_is_none() {
        let mut bytes = [0u8; IPV4_LEN];
        bytes[0] = 0x60;
        assert!(Ipv4Header::parse(&bytes).is_none());
        bytes[0] = 0x44;
        assert!(Ipv4Header::parse(&bytes).is_none(), "a header shorter than 20 bytes");
    }

    proptest! {
        #[test]
        fn ports_survive_the_round_trip(bytes in any::<[u8; 4]>()) {
            prop_assert_eq!(Ports::parse(&bytes).word().to_ne_bytes(), bytes);
        }

        #[test]
        fn no_header_panics(b in any::<[u8; 28]>()) {
            let _ = ArpPacket::parse(&b);
            let _ = EthernetHeader::parse(b.first_chunk().expect("14 of 28"));
            if let Some(header) = Ipv4Header::parse(b.first_chunk().expect("20 of 28")) {
                prop_assert!((20..=60).contains(&header.header_len));
            }
        }
    }
}
