//! Rewriting addresses and ports.

use aya_ebpf::{
    bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR},
    programs::TcContext,
};
use beeline_abi::{Difference, DropReason, Ports, ip};

use crate::{
    ends::Ends,
    packet::{Packet, Transport},
    skb,
};

/// The rest of an IPv4 header from the time to live on.
#[repr(C)]
struct HeaderTail {
    ttl: u8,
    protocol: u8,
    check: u16,
    source: u32,
    destination: u32,
}

/// Gives the packet other ends and takes `hops` off its time to live.
///
/// Checksums change by difference: a packet whose checksum the device will fill in (CHECKSUM_PARTIAL) has only its
/// pseudo-header part changed, a GSO packet stays whole, and a UDP packet without a checksum stays without.
#[inline(always)]
pub fn translate(ctx: &TcContext, packet: &Packet, to: &Ends, hops: u8) -> Result<(), DropReason> {
    let header = &packet.header;
    if header.ttl <= hops {
        return Err(DropReason::TtlExceeded);
    }
    let ttl = header.ttl - hops;
    let addresses = Difference::NONE.word(header.source, to.source).word(header.destination, to.destination);
    let life = Difference::NONE
        .half(u16::from_ne_bytes([header.ttl, header.protocol]), u16::from_ne_bytes([ttl, header.protocol]));
    if packet.transport == Transport::Header {
        translate_transport(ctx, packet, addresses, to.ports)?;
    }
    let tail = HeaderTail {
        ttl,
        protocol: header.protocol,
        check: addresses.and(life).apply(header.check),
        source: to.source,
        destination: to.destination,
    };
    skb::store(ctx, packet.l3 + 8, &tail)
}

#[inline(always)]
fn translate_transport(
    ctx: &TcContext,
    packet: &Packet,
    addresses: Difference,
    ports: Ports,
) -> Result<(), DropReason> {
    let (check, flags) = match packet.header.protocol {
        ip::TCP => (packet.l4 + 16, 0),
        ip::UDP => (packet.l4 + 6, u64::from(BPF_F_MARK_MANGLED_0)),
        _ => return translate_echo(ctx, packet, ports),
    };
    let pseudo = flags | u64::from(BPF_F_PSEUDO_HDR);
    skb::replace_check(ctx, check, 0, u64::from(addresses.sum()), pseudo)?;
    let (old, new) = (packet.ports.word(), ports.word());
    if old != new {
        skb::replace_check(ctx, check, u64::from(old), u64::from(new), flags | 4)?;
        skb::store(ctx, packet.l4, &new)?;
    }
    Ok(())
}

/// An echo has its identifier for a port, and no pseudo-header in its checksum.
#[inline(always)]
fn translate_echo(ctx: &TcContext, packet: &Packet, ports: Ports) -> Result<(), DropReason> {
    let (old, new) = (packet.ports.source | packet.ports.destination, ports.source | ports.destination);
    if old != new {
        let (old, new) = (old.to_be(), new.to_be());
        skb::replace_check(ctx, packet.l4 + 2, u64::from(old), u64::from(new), 2)?;
        skb::store(ctx, packet.l4 + 4, &new)?;
    }
    Ok(())
}
