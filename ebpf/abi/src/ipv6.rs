//! Parsing of IPv6: the fixed header, extension headers, and the ICMPv6 messages that programs answer.

use crate::{Address, ip};

/// Bytes of an IPv6 header without extension headers.
pub const IPV6_LEN: usize = 40;

/// ICMPv6 types (RFC 4443, RFC 4861).
pub mod icmpv6 {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// The packet is larger than the next link takes.
    pub const TOO_BIG: u8 = 2;
    /// The hop limit, or reassembly time, exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Answer to an echo request.
    pub const ECHO_REPLY: u8 = 129;
    /// The first and last of multicast listener discovery, version 1.
    pub const LISTENER_QUERY: u8 = 130;
    /// See [`LISTENER_QUERY`].
    pub const LISTENER_DONE: u8 = 132;
    /// The first of neighbour discovery: a host asks for routers.
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// A router speaks of itself.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Who has this address?
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    /// I have.
    pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    /// The last of neighbour discovery: a router names a better one.
    pub const REDIRECT: u8 = 137;
    /// A report of multicast listener discovery, version 2.
    pub const LISTENER_REPORT: u8 = 143;
}

/// An IPv6 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Header {
    /// Bytes behind this header; zero for a jumbogram, which is not followed.
    pub payload_len: u16,
    /// What comes next: a protocol or an extension header, see [`ip`].
    pub next_header: u8,
    /// The hop limit.
    pub hop_limit: u8,
    /// The source address.
    pub source: Address,
    /// The destination address.
    pub destination: Address,
}

impl Ipv6Header {
    /// Reads the header; none if it is not IPv6.
    #[inline(always)]
    pub const fn parse(b: &[u8; IPV6_LEN]) -> Option<Self> {
        if b[0] >> 4 != 6 {
            return None;
        }
        Some(Self {
            payload_len: u16::from_be_bytes([b[4], b[5]]),
            next_header: b[6],
            hop_limit: b[7],
            source: address(b, 8),
            destination: address(b, 24),
        })
    }
}

#[inline(always)]
const fn word(b: &[u8; IPV6_LEN], at: usize) -> u32 {
    u32::from_ne_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

#[inline(always)]
const fn address(b: &[u8; IPV6_LEN], at: usize) -> Address {
    Address { words: [word(b, at), word(b, at + 4), word(b, at + 8), word(b, at + 12)] }
}

/// An extension header (RFC 8200, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// What comes next.
    pub next_header: u8,
    /// Bytes of this header.
    pub len: u16,
    /// In a fragment header: what it says.
    pub fragment: Option<Fragment>,
}

/// What a fragment header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification: the same in all fragments of a packet.
    pub id: u32,
    /// Where this fragment belongs, in units of 8 bytes.
    pub offset: u16,
    /// Whether fragments follow.
    pub more: bool,
}

impl Extension {
    /// Whether a header of this kind is an extension header that can be stepped over.
    #[inline(always)]
    pub const fn is_one(kind: u8) -> bool {
        matches!(kind, ip::HOP_BY_HOP | ip::ROUTING | ip::FRAGMENT | ip::AUTHENTICATION | ip::DESTINATION)
    }

    /// Reads the first 8 bytes of an extension header of this kind, see [`Self::is_one`].
    #[inline(always)]
    pub const fn parse(kind: u8, b: &[u8; 8]) -> Self {
        let length = b[1] as u16;
        let (len, fragment) = match kind {
            ip::FRAGMENT => {
                let bits = u16::from_be_bytes([b[2], b[3]]);
                let id = u32::from_be_bytes([b[4], b[5], b[6], b[7]]);
                (8, Some(Fragment { id, offset: bits >> 3, more: bits & 1 != 0 }))
            }
            // Counted in words of 4 bytes, less two (RFC 4302); the others in 8 bytes, less one.
            ip::AUTHENTICATION => ((length + 2) * 4, None),
            _ => ((length + 1) * 8, None),
        };
        Self { next_header: b[0], len, fragment }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_header_is_read() {
        let mut bytes = [0u8; IPV6_LEN];
        (bytes[0], bytes[5], bytes[6], bytes[7]) = (0x60, 24, ip::TCP, 64);
        (bytes[8], bytes[39]) = (0xfd, 9);
        let header = Ipv6Header::parse(&bytes).expect("IPv6");
        assert_eq!((header.payload_len, header.next_header, header.hop_limit), (24, ip::TCP, 64));
        assert_eq!(header.source.words[0].to_ne_bytes(), [0xfd, 0, 0, 0]);
        assert_eq!(header.destination.words[3].to_ne_bytes(), [0, 0, 0, 9]);
        bytes[0] = 0x45;
        assert!(Ipv6Header::parse(&bytes).is_none());
    }

    #[test]
    fn each_extension_header_counts_its_length_its_own_way() {
        let length = |kind, count| Extension::parse(kind, &[ip::TCP, count, 0, 0, 0, 0, 0, 0]).len;
        assert_eq!(length(ip::HOP_BY_HOP, 0), 8);
        assert_eq!(length(ip::DESTINATION, 2), 24);
        assert_eq!(length(ip::ROUTING, 255), 2048);
        assert_eq!(length(ip::AUTHENTICATION, 4), 24);
        assert_eq!(length(ip::FRAGMENT, 77), 8);
        assert!(!Extension::is_one(ip::TCP) && !Extension::is_one(ip::NONE));
    }

    #[test]
    fn a_fragment_says_where_it_belongs() {
        let b = [ip::UDP, 0, 0x05, 0xa9, 0, 0, 1, 2];
        let fragment = Extension::parse(ip::FRAGMENT, &b).fragment.expect("a fragment");
        assert_eq!(fragment, Fragment { id: 0x102, offset: 181, more: true });
    }

    proptest! {
        #[test]
        fn no_extension_header_is_shorter_than_what_was_read(kind in any::<u8>(), b in any::<[u8; 8]>()) {
            prop_assert!(Extension::parse(kind, &b).len >= 8);
        }
    }
}
