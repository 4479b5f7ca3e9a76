//! A packet as the other modules see it, of either family.

use core::ptr;

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map, programs::TcContext};
use beeline_abi::{
    Address, DropReason, ETHERNET_LEN, EthernetHeader, Extension, FragmentKey, IPV4_LEN, IPV6_LEN, Icmp,
    Ipv4Header, Ipv6Header, Ports, Side, Tuple, icmp, icmpv6, ip,
};

use crate::{
    ends::Ends,
    fragment,
    front::{self, Front},
    maps, skb,
};

/// TCP flags as they lie in the header's 14th byte.
pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// How many extension headers of IPv6 are followed.
const MAX_EXTENSIONS: u32 = 6;

/// How much is known of the transport layer.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A protocol without ports, or an ICMP message that is no echo.
    Other,
    /// Ports, and the header is in this packet.
    Header,
    /// Ports from the first fragment: this one has no header.
    Later,
    /// A later fragment of which nothing is known.
    Unknown,
    /// An ICMP error: it belongs to the flow of the packet it carries.
    Error,
}

/// An IP packet.
#[repr(C)]
pub struct Packet {
    pub source: Address,
    pub destination: Address,
    /// Where the IP header begins: after the Ethernet header, or at the front.
    pub l3: u32,
    /// Where the transport header begins.
    pub l4: u32,
    /// The ports; of an echo request its identifier as source, of an answer as destination.
    pub ports: Ports,
    /// Bytes of the packet from the IP header on, as the header says; too small for GSO packets of some drivers.
    pub total_len: u16,
    /// The checksum of an IPv4 header as it lies in memory.
    pub check: u16,
    /// What follows an IPv6 header: the protocol, or the first extension header.
    pub next_header: u8,
    pub version: u8,
    /// The transport protocol.
    pub protocol: u8,
    /// The time to live, or hop limit.
    pub hops: u8,
    pub transport: Transport,
    /// The flags of a TCP segment.
    pub tcp: u8,
    /// The length of a TCP header.
    pub tcp_len: u8,
    /// The type of an ICMP message.
    pub icmp: u8,
    /// Whether the ports of TCP or UDP lie behind an IP header of the usual length, and that behind one of Ethernet: what
    /// is rewritten of such a packet is rewritten at once.
    pub is_plain: bool,
    /// Whether this is the first fragment of several.
    pub is_first: bool,
    /// Which packet this is a fragment of.
    pub whole: FragmentKey,
}

/// The packet that is worked on, and the one that an ICMP error carries.
///
/// They lie in a map not for room alone: the verifier knows nothing of what it reads there, and walks the rest of the
/// program once, not once for each kind of packet.
#[btf_map]
static PACKETS: PerCpuArray<Packet, 2> = PerCpuArray::new();

const WHOLE: u32 = 0;
const QUOTED: u32 = 1;

/// Takes the front of a frame, and reads its header.
#[inline(always)]
pub fn take_frame(ctx: &TcContext) -> Result<EthernetHeader, DropReason> {
    let front = taken()?;
    front.take_frame(ctx)?;
    Ok(EthernetHeader::parse(front.frame()))
}

/// The front of the packet that is worked on.
#[inline(always)]
pub fn taken() -> Result<&'static mut Front, DropReason> {
    front::own(WHOLE)
}

impl Packet {
    /// Parses an IP packet whose header begins at `l3`.
    #[inline(always)]
    pub fn parse(ctx: &TcContext, l3: u32) -> Result<&'static Self, DropReason> {
        if l3 == 0 {
            taken()?.take(ctx, 0)?;
        } else {
            taken()?.take_frame(ctx)?;
        }
        Self::parse_to(WHOLE, ctx, l3)
    }

    /// Parses the IP packet in the frame whose front was taken last.
    #[inline(always)]
    pub fn of_frame(ctx: &TcContext) -> Result<&'static Self, DropReason> {
        Self::parse_to(WHOLE, ctx, ETHERNET_LEN as u32)
    }

    /// Parses the packet that an ICMP error carries: behind its IP header 8 bytes are sure to be there.
    #[inline(always)]
    pub fn quoted(ctx: &TcContext, l3: u32) -> Result<&'static Self, DropReason> {
        front::own(QUOTED)?.take(ctx, l3)?;
        Self::parse_to(QUOTED, ctx, l3)
    }

    /// The packet that was parsed last.
    #[inline(always)]
    pub fn last() -> Result<&'static Self, DropReason> {
        Self::in_slot(WHOLE)
    }

    /// The packet that was parsed last as carried by an ICMP error.
    #[inline(always)]
    pub fn last_quoted() -> Result<&'static Self, DropReason> {
        Self::in_slot(QUOTED)
    }

    #[inline(always)]
    fn in_slot(slot: u32) -> Result<&'static Self, DropReason> {
        maps::own(&PACKETS, slot).map(|packet| &*packet).ok_or(DropReason::Helper)
    }

    #[inline(always)]
    fn parse_to(slot: u32, ctx: &TcContext, l3: u32) -> Result<&'static Self, DropReason> {
        let packet = maps::own(&PACKETS, slot).ok_or(DropReason::Helper)?;
        packet.l3 = l3;
        read(ctx, packet, front::own(slot)?, slot)?;
        // Looked up once more, so that nothing of what was written is known any more.
        Self::in_slot(slot)
    }

    /// How far behind the IP header's beginning the transport header begins. Read from the map, so that the verifier has
    /// forgotten which headers led there; and in a register's full width, so that it sees that what is compared is used.
    #[inline(always)]
    fn header_len(&self) -> usize {
        // SAFETY: reads fields of a reference.
        let (l3, l4) = unsafe { (ptr::read_volatile(&self.l3), ptr::read_volatile(&self.l4)) };
        (l4 as usize).wrapping_sub(l3 as usize)
    }

    #[inline(always)]
    pub fn is_v4(&self) -> bool {
        self.version == 4
    }

    /// Whether the ports are known.
    #[inline(always)]
    pub fn has_ports(&self) -> bool {
        matches!(self.transport, Transport::Header | Transport::Later)
    }

    /// Whether this TCP segment asks for a connection.
    #[inline(always)]
    pub fn opens(&self) -> bool {
        self.tcp & (SYN | ACK | RST | FIN) == SYN
    }

    /// The addresses and ports it has.
    #[inline(always)]
    pub fn ends(&self) -> Ends<'_> {
        Ends { source: &self.source, destination: &self.destination, ports: self.ports }
    }

    /// The tuple of a packet that goes away from a container.
    #[inline(always)]
    pub fn outbound(&self, side: Side) -> Tuple {
        let source = (self.source.by_words(), self.ports.source);
        Tuple::outbound(side, self.protocol, source, (self.destination.by_words(), self.ports.destination))
    }

    /// The tuple of a packet that goes towards a container.
    #[inline(always)]
    pub fn inbound(&self, side: Side) -> Tuple {
        let source = (self.source.by_words(), self.ports.source);
        Tuple::inbound(side, self.protocol, source, (self.destination.by_words(), self.ports.destination))
    }
}

/// What a header says of fragments.
struct Part {
    offset: u16,
    more: bool,
}

/// Bytes from a place behind the beginning of the IP header, wherever they are.
#[inline(always)]
fn bytes<const N: usize>(
    ctx: &TcContext,
    packet: &Packet,
    front: &Front,
    at: usize,
) -> Result<[u8; N], DropReason> {
    match front.bytes(at) {
        Some(bytes) => Ok(*bytes),
        None => skb::load(ctx, packet.l3 + at as u32).ok_or(DropReason::Malformed),
    }
}

/// A function of its own: what it needs of the stack is free again afterwards.
#[inline(never)]
fn read(ctx: &TcContext, packet: &mut Packet, front: &Front, slot: u32) -> Result<(), DropReason> {
    (packet.tcp, packet.tcp_len, packet.icmp) = (0, 0, 0);
    packet.ports = Ports { source: 0, destination: 0 };
    (packet.transport, packet.is_plain, packet.is_first) = (Transport::Other, false, false);
    let [first] = *front.bytes(0).ok_or(DropReason::Malformed)?;
    let part = if first >> 4 == 4 { read_v4(packet, front)? } else { read_v6(ctx, packet, front)? };
    if part.offset != 0 {
        fragment::name(ctx, packet);
        packet.transport = match fragment::recall(packet) {
            Some(ports) => {
                packet.ports = ports;
                Transport::Later
            }
            None => Transport::Unknown,
        };
        return Ok(());
    }
    read_transport(ctx, packet, front, slot)?;
    if part.more && slot == WHOLE && packet.transport == Transport::Header {
        fragment::name(ctx, packet);
        fragment::remember(packet);
        packet.is_first = true;
    }
    Ok(())
}

#[inline(always)]
fn read_v4(packet: &mut Packet, front: &Front) -> Result<Part, DropReason> {
    let bytes = front.bytes(0).ok_or(DropReason::Malformed)?;
    let header = Ipv4Header::parse(bytes).ok_or(DropReason::Malformed)?;
    packet.version = 4;
    packet.source = header.source_address();
    packet.destination = header.destination_address();
    packet.l4 = packet.l3 + u32::from(header.header_len);
    packet.total_len = header.total_len;
    packet.whole.id = u32::from(header.id);
    (packet.check, packet.hops, packet.protocol) = (header.check, header.ttl, header.protocol);
    Ok(Part { offset: header.fragment_offset, more: header.more_fragments })
}

#[inline(always)]
fn read_v6(ctx: &TcContext, packet: &mut Packet, front: &Front) -> Result<Part, DropReason> {
    let bytes = front.bytes(0).ok_or(DropReason::Malformed)?;
    let header = Ipv6Header::parse(bytes).ok_or(DropReason::Malformed)?;
    packet.version = 6;
    packet.source = header.source;
    packet.destination = header.destination;
    packet.total_len = header.payload_len.saturating_add(IPV6_LEN as u16);
    (packet.check, packet.hops, packet.next_header) = (0, header.hop_limit, header.next_header);
    let mut at = packet.l3 + IPV6_LEN as u32;
    let mut kind = header.next_header;
    let mut part = Part { offset: 0, more: false };
    for _ in 0..MAX_EXTENSIONS {
        if !Extension::is_one(kind) || part.offset != 0 {
            break;
        }
        let bytes = skb::load(ctx, at).ok_or(DropReason::Malformed)?;
        let extension = Extension::parse(kind, &bytes);
        if let Some(fragment) = extension.fragment {
            packet.whole.id = fragment.id;
            part = Part { offset: fragment.offset, more: fragment.more };
        }
        kind = extension.next_header;
        at += u32::from(extension.len);
    }
    if Extension::is_one(kind) && part.offset == 0 {
        return Err(DropReason::Extensions);
    }
    (packet.protocol, packet.l4) = (kind, at);
    Ok(part)
}

#[inline(always)]
fn read_transport(ctx: &TcContext, packet: &mut Packet, front: &Front, slot: u32) -> Result<(), DropReason> {
    if !matches!(packet.protocol, ip::TCP | ip::UDP | ip::SCTP | ip::ICMP | ip::ICMPV6) {
        return Ok(());
    }
    let at = packet.header_len();
    let bytes: [u8; 8] = bytes(ctx, packet, front, at)?;
    if matches!(packet.protocol, ip::ICMP | ip::ICMPV6) {
        read_icmp(packet, &bytes);
        return Ok(());
    }
    packet.ports = Ports::parse(&[bytes[0], bytes[1], bytes[2], bytes[3]]);
    packet.transport = Transport::Header;
    if slot == WHOLE {
        read_rest(ctx, packet, front, at)?;
        let usual = if packet.is_v4() { IPV4_LEN } else { IPV6_LEN };
        let is_usual = at == usual && packet.l3 == ETHERNET_LEN as u32;
        packet.is_plain = is_usual && packet.protocol != ip::SCTP;
    }
    Ok(())
}

/// What else a translation needs of a header: one that is cut off before its end opens no flow.
#[inline(always)]
fn read_rest(ctx: &TcContext, packet: &mut Packet, front: &Front, at: usize) -> Result<(), DropReason> {
    match packet.protocol {
        ip::TCP => {
            let rest: [u8; 8] = bytes(ctx, packet, front, at + 12)?;
            (packet.tcp_len, packet.tcp) = ((rest[0] >> 4) * 4, rest[1]);
        }
        ip::SCTP => {
            let _check: [u8; 4] = bytes(ctx, packet, front, at + 8)?;
        }
        _ => {}
    }
    Ok(())
}

#[inline(always)]
fn read_icmp(packet: &mut Packet, bytes: &[u8; 8]) {
    let message = Icmp::parse(bytes);
    let is_v4 = packet.protocol == ip::ICMP;
    let (request, reply) = if is_v4 {
        (icmp::ECHO_REQUEST, icmp::ECHO_REPLY)
    } else {
        (icmpv6::ECHO_REQUEST, icmpv6::ECHO_REPLY)
    };
    packet.icmp = message.kind;
    if message.kind == request {
        packet.ports = Ports { source: message.id, destination: 0 };
        packet.transport = Transport::Header;
    } else if message.kind == reply {
        packet.ports = Ports { source: 0, destination: message.id };
        packet.transport = Transport::Header;
    } else if message.is_error(is_v4) {
        packet.transport = Transport::Error;
    }
}
