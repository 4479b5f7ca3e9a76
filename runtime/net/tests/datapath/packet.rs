//! Packets made and taken apart byte by byte, by other code than the programs'.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use beeline_abi::{fold, ones_complement_sum};

pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const AUTHENTICATION: u8 = 51;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const DESTINATION: u8 = 60;
pub(crate) const SCTP: u8 = 132;

/// TCP flags.
pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// Where the IP header begins.
pub(crate) const L3: usize = 14;
const IPV4_LEN: usize = 20;
pub(crate) const IPV6_LEN: usize = 40;

/// An IP packet behind an Ethernet header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) bytes: Vec<u8>,
}

/// What lies where.
#[derive(Clone, Copy, Debug)]
struct Layers {
    protocol: u8,
    /// Where the transport header begins.
    l4: usize,
    /// Whether the packet is one of several fragments.
    is_fragment: bool,
    /// Whether the transport header is in another one.
    is_later: bool,
}

impl Packet {
    /// A packet with right checksums; a TCP segment is a SYN.
    pub(crate) fn new(
        protocol: u8,
        from: impl Into<SocketAddr>,
        to: impl Into<SocketAddr>,
        payload: &[u8],
    ) -> Self {
        let (from, to) = (from.into(), to.into());
        let mut transport = Vec::new();
        transport.extend_from_slice(&from.port().to_be_bytes());
        transport.extend_from_slice(&to.port().to_be_bytes());
        match protocol {
            TCP => transport.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0x50, SYN, 0xff, 0xff, 0, 0, 0, 0]),
            SCTP => transport.extend_from_slice(&[1, 2, 3, 4, 0, 0, 0, 0]),
            _ => {
                transport.extend_from_slice(&(8 + payload.len() as u16).to_be_bytes());
                transport.extend_from_slice(&[0, 0]);
            }
        }
        transport.extend_from_slice(payload);
        Self::raw(protocol, from.ip(), to.ip(), &transport)
    }

    /// An echo request, or its answer.
    pub(crate) fn echo(from: IpAddr, to: IpAddr, is_request: bool, id: u16, payload: &[u8]) -> Self {
        let (protocol, request, reply) = if from.is_ipv4() { (ICMP, 8, 0) } else { (ICMPV6, 128, 129) };
        let [high, low] = id.to_be_bytes();
        let mut message = vec![if is_request { request } else { reply }, 0, 0, 0, high, low, 0, 1];
        message.extend_from_slice(payload);
        Self::raw(protocol, from, to, &message)
    }

    /// What `from` says is wrong with a packet, of which it quotes `quoted` bytes, to whom the packet is from.
    pub(crate) fn error(from: IpAddr, kind: u8, parameter: u32, about: &Self, quoted: usize) -> Self {
        let protocol = if from.is_ipv4() { ICMP } else { ICMPV6 };
        let mut message = vec![kind, 0, 0, 0];
        message.extend_from_slice(&parameter.to_be_bytes());
        message.extend_from_slice(&about.bytes[L3..about.bytes.len().min(L3 + quoted)]);
        Self::raw(protocol, from, about.source().ip(), &message)
    }

    /// A packet with right checksums of any protocol.
    pub(crate) fn raw(protocol: u8, from: IpAddr, to: IpAddr, transport: &[u8]) -> Self {
        let mut bytes = vec![0; 12];
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                bytes.extend_from_slice(&[8, 0, 0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0]);
                bytes.extend_from_slice(&from.octets());
                bytes.extend_from_slice(&to.octets());
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                bytes.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, protocol, 64]);
                bytes.extend_from_slice(&from.octets());
                bytes.extend_from_slice(&to.octets());
            }
            mixed => panic!("one family, not {mixed:?}"),
        }
        bytes.extend_from_slice(transport);
        Self { bytes }.seal()
    }

    /// With so many words of IPv4 options that do nothing.
    pub(crate) fn options(mut self, words: usize) -> Self {
        let end = L3 + IPV4_LEN;
        self.bytes.splice(end..end, std::iter::repeat_n(1, 4 * words));
        self.bytes[L3] += words as u8;
        self.seal()
    }

    /// With an extension header of IPv6 in front of all others; its first byte is filled in.
    pub(crate) fn extension(mut self, kind: u8, header: &[u8]) -> Self {
        let at = L3 + IPV6_LEN;
        let next = std::mem::replace(&mut self.bytes[L3 + 6], kind);
        self.bytes.splice(at..at, header.iter().copied());
        self.bytes[at] = next;
        self.seal()
    }

    /// With another time to live, or hop limit.
    pub(crate) fn hops(mut self, hops: u8) -> Self {
        let at = if self.is_v4() { L3 + 8 } else { L3 + 7 };
        self.bytes[at] = hops;
        self.seal()
    }

    /// A TCP segment with other flags.
    pub(crate) fn flags(mut self, flags: u8) -> Self {
        let at = self.l4() + 13;
        self.bytes[at] = flags;
        self.seal()
    }

    /// The packet in fragments, each with this many bytes of the transport layer, a multiple of eight.
    pub(crate) fn split(&self, size: usize, id: u16) -> Vec<Self> {
        let l4 = self.l4();
        let last = (self.bytes.len() - l4 - 1) / size;
        let piece = |(number, bytes): (usize, &[u8])| {
            let (offset, more) = ((number * size) as u16, u16::from(number != last));
            let mut piece = Self { bytes: [&self.bytes[..l4], bytes].concat() };
            if self.is_v4() {
                piece.bytes[L3 + 4..L3 + 6].copy_from_slice(&id.to_be_bytes());
                piece.bytes[L3 + 6..L3 + 8].copy_from_slice(&((offset / 8) | (more << 13)).to_be_bytes());
                return piece.seal();
            }
            let [high, low] = (offset | more).to_be_bytes();
            let [id_high, id_low] = id.to_be_bytes();
            piece.extension(FRAGMENT, &[0, 0, high, low, 0, 0, id_high, id_low])
        };
        self.bytes[l4..].chunks(size).enumerate().map(piece).collect()
    }

    /// The packet that was split, of its fragments in order as they are now.
    pub(crate) fn join(fragments: &[Self]) -> Self {
        let mut whole = fragments[0].bytes.clone();
        for later in &fragments[1..] {
            whole.extend_from_slice(&later.bytes[later.l4()..]);
        }
        if fragments[0].is_v4() {
            whole[L3 + 6..L3 + 8].fill(0);
        } else {
            whole[L3 + 6] = whole[L3 + IPV6_LEN];
            whole.drain(L3 + IPV6_LEN..L3 + IPV6_LEN + 8);
        }
        let mut whole = Self { bytes: whole };
        whole.set_lengths();
        whole
    }

    /// To a hardware address.
    pub(crate) fn towards(mut self, mac: [u8; 6]) -> Self {
        self.bytes[..6].copy_from_slice(&mac);
        self
    }

    /// From a hardware address.
    pub(crate) fn of(mut self, mac: [u8; 6]) -> Self {
        self.bytes[6..12].copy_from_slice(&mac);
        self
    }

    pub(crate) fn is_v4(&self) -> bool {
        self.bytes[12..14] == [8, 0]
    }

    pub(crate) fn protocol(&self) -> u8 {
        self.layers().expect("headers").protocol
    }

    /// Where the transport header begins.
    pub(crate) fn l4(&self) -> usize {
        self.layers().expect("headers").l4
    }

    pub(crate) fn ttl(&self) -> u8 {
        self.bytes[if self.is_v4() { L3 + 8 } else { L3 + 7 }]
    }

    pub(crate) fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    fn address(&self, v4: usize, v6: usize) -> IpAddr {
        if self.is_v4() {
            return Ipv4Addr::from(*self.bytes[L3 + v4..].first_chunk().expect("address")).into();
        }
        Ipv6Addr::from(*self.bytes[L3 + v6..].first_chunk::<16>().expect("address")).into()
    }

    /// The two words where ports are; an echo's identifier is the port of who asks.
    fn ports(&self) -> (u16, u16) {
        let Layers { protocol, l4, is_later, .. } = self.layers().expect("headers");
        match (protocol, self.bytes.get(l4)) {
            _ if is_later => (0, 0),
            (ICMP, Some(8)) | (ICMPV6, Some(128)) => (self.word(l4 + 4), 0),
            (ICMP, Some(0)) | (ICMPV6, Some(129)) => (0, self.word(l4 + 4)),
            (ICMP | ICMPV6, _) => (0, 0),
            _ => (self.word(l4), self.word(l4 + 2)),
        }
    }

    pub(crate) fn source(&self) -> SocketAddr {
        (self.address(12, 8), self.ports().0).into()
    }

    pub(crate) fn destination(&self) -> SocketAddr {
        (self.address(16, 24), self.ports().1).into()
    }

    /// The packet that an ICMP error quotes.
    pub(crate) fn quoted(&self) -> Self {
        let kind = if self.is_v4() { [8, 0] } else { [0x86, 0xdd] };
        Self { bytes: [&[0; 12][..], &kind, &self.bytes[self.l4() + 8..]].concat() }
    }

    /// Steps over the headers.
    fn layers(&self) -> Option<Layers> {
        if self.is_v4() {
            let l4 = L3 + usize::from(self.bytes.get(L3)? & 15) * 4;
            let fragment = u16::from_be_bytes([*self.bytes.get(L3 + 6)?, *self.bytes.get(L3 + 7)?]);
            return Some(Layers {
                protocol: *self.bytes.get(L3 + 9)?,
                l4,
                is_fragment: fragment & 0x3fff != 0,
                is_later: fragment & 0x1fff != 0,
            });
        }
        let mut layers = Layers {
            protocol: *self.bytes.get(L3 + 6)?,
            l4: L3 + IPV6_LEN,
            is_fragment: false,
            is_later: false,
        };
        while let HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION = layers.protocol
            && !layers.is_later
        {
            let header = self.bytes.get(layers.l4..layers.l4 + 8)?;
            if layers.protocol == FRAGMENT {
                layers.is_fragment = true;
                layers.is_later = u16::from_be_bytes([header[2], header[3]]) & !7 != 0;
            }
            layers.l4 += match layers.protocol {
                FRAGMENT => 8,
                AUTHENTICATION => (usize::from(header[1]) + 2) * 4,
                _ => (usize::from(header[1]) + 1) * 8,
            };
            layers.protocol = header[0];
        }
        Some(layers)
    }

    fn set_lengths(&mut self) {
        let length = self.bytes.len() - L3;
        if self.is_v4() {
            self.bytes[L3 + 2..L3 + 4].copy_from_slice(&(length as u16).to_be_bytes());
            self.bytes[L3 + 10..L3 + 12].fill(0);
            let check = !ones_complement_sum(&self.bytes[L3..L3 + usize::from(self.bytes[L3] & 15) * 4]);
            self.bytes[L3 + 10..L3 + 12].copy_from_slice(&check.to_ne_bytes());
        } else {
            self.bytes[L3 + 4..L3 + 6].copy_from_slice(&((length - IPV6_LEN) as u16).to_be_bytes());
        }
    }

    /// Writes lengths and checksums; a fragment's transport checksum is the whole packet's, and stays.
    pub(crate) fn seal(mut self) -> Self {
        self.set_lengths();
        let Layers { protocol, l4, is_fragment, .. } = self.layers().expect("headers");
        let at = match protocol {
            TCP => l4 + 16,
            UDP => l4 + 6,
            ICMP | ICMPV6 => l4 + 2,
            SCTP => l4 + 8,
            _ => return self,
        };
        if is_fragment || self.bytes.len() < at + 2 {
            return self;
        }
        if protocol == SCTP {
            self.bytes[at..at + 4].fill(0);
            let check = crc32c(&self.bytes[l4..]);
            self.bytes[at..at + 4].copy_from_slice(&check.to_le_bytes());
            return self;
        }
        self.bytes[at..at + 2].fill(0);
        let check = match (!self.transport_sum(), protocol) {
            (0, UDP) => 0xffff,
            (check, _) => check,
        };
        self.bytes[at..at + 2].copy_from_slice(&check.to_ne_bytes());
        self
    }

    /// The sum over pseudo-header and transport: all ones when the checksum is right.
    fn transport_sum(&self) -> u16 {
        let Layers { protocol, l4, .. } = self.layers().expect("headers");
        let transport = ones_complement_sum(&self.bytes[l4..]);
        if protocol == ICMP {
            return transport;
        }
        let addresses = if self.is_v4() { L3 + 12..L3 + 20 } else { L3 + 8..L3 + 40 };
        let mut pseudo = self.bytes[addresses].to_vec();
        pseudo.extend_from_slice(&((self.bytes.len() - l4) as u32).to_be_bytes());
        pseudo.extend_from_slice(&[0, 0, 0, protocol]);
        fold(u32::from(transport) + u32::from(ones_complement_sum(&pseudo)))
    }

    /// Whether all headers are there, up to the end of the transport layer's, so that its checksum can be told.
    pub(crate) fn is_sound(&self) -> bool {
        let is_ip =
            self.bytes.get(12..14).is_some_and(|kind| [[8, 0], [0x86, 0xdd]].contains(&[kind[0], kind[1]]));
        let first = self.bytes.get(L3).copied().unwrap_or_default();
        if !is_ip || first >> 4 != if self.is_v4() { 4 } else { 6 } || self.is_v4() && first & 15 < 5 {
            return false;
        }
        let header = |protocol| match protocol {
            TCP => 20,
            SCTP => 12,
            UDP | ICMP | ICMPV6 => 8,
            _ => 0,
        };
        self.layers().is_some_and(|layers| {
            let header = if layers.is_later { 0 } else { header(layers.protocol) };
            layers.l4 + header <= self.bytes.len()
        })
    }

    /// What is wrong with lengths and checksums: nothing, in a packet that a host would take.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let Layers { protocol, l4, is_fragment, .. } = self.layers()?;
        let mut expected = self.clone();
        expected.set_lengths();
        if ones_complement_sum(&self.bytes[L3..l4]) != 0xffff && self.is_v4() {
            return Some("IPv4 header checksum");
        }
        let lengths = if self.is_v4() { L3 + 2..L3 + 4 } else { L3 + 4..L3 + 6 };
        if expected.bytes[lengths.clone()] != self.bytes[lengths] {
            return Some("length");
        }
        if is_fragment {
            return None;
        }
        match protocol {
            SCTP => {
                let check = self.clone().seal().bytes;
                (check[l4 + 8..l4 + 12] != self.bytes[l4 + 8..l4 + 12]).then_some("SCTP checksum")
            }
            UDP if self.word(l4 + 6) == 0 => (!self.is_v4()).then_some("UDP without a checksum"),
            TCP | UDP | ICMP | ICMPV6 => (self.transport_sum() != 0xffff).then_some("transport checksum"),
            _ => None,
        }
    }

    pub(crate) fn assert_checksums(&self) {
        assert_eq!(self.fault(), None, "{self:02x?}");
    }
}

/// SCTP's checksum, bit by bit (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
