//! Rewriting addresses and ports.

use aya_ebpf::{
    bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_F_RECOMPUTE_CSUM},
    helpers::bpf_csum_update,
    programs::TcContext,
};
use beeline_abi::{Address, Difference, DropReason, Ports, ip};

use crate::{
    ends::Ends,
    packet::{self, Packet, Transport},
    sctp, skb,
};

const PSEUDO: u64 = BPF_F_PSEUDO_HDR as u64;

/// The rest of an IPv4 header from the time to live on.
#[repr(C)]
struct Tail4 {
    ttl: u8,
    protocol: u8,
    check: u16,
    source: u32,
    destination: u32,
}

/// The rest of an IPv6 header from the payload's length on.
#[repr(C)]
struct Tail6 {
    payload_len: u16,
    next_header: u8,
    hop_limit: u8,
    source: Address,
    destination: Address,
}

/// What other addresses do to a checksum over them.
#[inline(always)]
pub fn difference(packet: &Packet, to: &Ends<'_>) -> Difference {
    let mut difference = Difference::NONE
        .word(packet.source.words[3], to.source.words[3])
        .word(packet.destination.words[3], to.destination.words[3]);
    if !packet.is_v4() {
        for at in 0..3 {
            difference = difference
                .word(packet.source.words[at], to.source.words[at])
                .word(packet.destination.words[at], to.destination.words[at]);
        }
    }
    difference
}

/// Gives the packet other ends and takes `hops` off its time to live.
///
/// Checksums change by difference: a packet whose checksum the device will fill in (CHECKSUM_PARTIAL) has only its
/// pseudo-header part changed, a GSO packet stays whole, and a UDP packet without a checksum stays without.
#[inline(always)]
pub fn translate(ctx: &TcContext, packet: &Packet, to: &Ends<'_>, hops: u8) -> Result<(), DropReason> {
    if packet.hops <= hops {
        return Err(DropReason::TtlExceeded);
    }
    let addresses = difference(packet, to);
    if packet.transport == Transport::Header {
        translate_transport(ctx, packet, addresses, to.ports)?;
    } else if packet.transport == Transport::Error && packet.protocol == ip::ICMPV6 {
        skb::replace_check(ctx, packet.l4 + 2, 0, u64::from(addresses.sum()), PSEUDO)?;
    }
    let ttl = packet.hops - hops;
    if packet.is_v4() {
        let life = Difference::NONE.half(
            u16::from_ne_bytes([packet.hops, packet.protocol]),
            u16::from_ne_bytes([ttl, packet.protocol]),
        );
        let tail = Tail4 {
            ttl,
            protocol: packet.protocol,
            check: addresses.and(life).apply(packet.check),
            source: to.source.v4_word(),
            destination: to.destination.v4_word(),
        };
        return skb::store(ctx, packet.l3 + 8, &tail);
    }
    let tail = Tail6 {
        payload_len: packet.total_len.wrapping_sub(beeline_abi::IPV6_LEN as u16).to_be(),
        next_header: packet.next_header,
        hop_limit: ttl,
        source: *to.source,
        destination: *to.destination,
    };
    // An IPv6 header has no checksum that would make up for the change: a sum over the whole packet, as some devices give
    // it (CHECKSUM_COMPLETE), has to be told.
    skb::store_with(ctx, packet.l3 + 4, &tail, u64::from(BPF_F_RECOMPUTE_CSUM))
}

/// The same for a [plain](Packet::is_plain) packet, whose front is put back at once, the frame's header with it.
#[inline(always)]
pub fn translate_plain(ctx: &TcContext, packet: &Packet, to: &Ends<'_>, hops: u8) -> Result<(), DropReason> {
    if packet.hops <= hops {
        return Err(DropReason::TtlExceeded);
    }
    let addresses = difference(packet, to);
    replace_checks(ctx, packet, addresses, to.ports)?;
    let front = packet::taken()?;
    let ttl = packet.hops - hops;
    if packet.is_v4() {
        let old = u16::from_ne_bytes([packet.hops, packet.protocol]);
        let [ttl, protocol] = [ttl, packet.protocol];
        let life = Difference::NONE.half(old, u16::from_ne_bytes([ttl, protocol]));
        let [low, high] = addresses.and(life).apply(packet.check).to_ne_bytes();
        front.set::<2>(u32::from_ne_bytes([ttl, protocol, low, high]));
        front.set::<3>(to.source.v4_word());
        front.set::<4>(to.destination.v4_word());
        front.set::<5>(to.ports.word());
        return front.put_back::<6>(ctx);
    }
    let [high, low] = packet.total_len.wrapping_sub(beeline_abi::IPV6_LEN as u16).to_be_bytes();
    let word = |hops| u32::from_ne_bytes([high, low, packet.next_header, hops]);
    front.set::<1>(word(ttl));
    front.set_address::<2>(to.source);
    front.set_address::<6>(to.destination);
    front.set::<10>(to.ports.word());
    front.put_back::<11>(ctx)?;
    // See above. Of what was written only this is made up for by no checksum within the packet; the ports are.
    let change = addresses.and(Difference::NONE.word(word(packet.hops), word(ttl)));
    // SAFETY: changes a field of the socket buffer, if it has a sum over the whole packet.
    unsafe { bpf_csum_update(ctx.skb.skb, change.sum()) };
    Ok(())
}

#[inline(always)]
fn translate_transport(
    ctx: &TcContext,
    packet: &Packet,
    addresses: Difference,
    ports: Ports,
) -> Result<(), DropReason> {
    match packet.protocol {
        ip::TCP | ip::UDP => {
            replace_checks(ctx, packet, addresses, ports)?;
            let (old, new) = (packet.ports.word(), ports.word());
            if old == new { Ok(()) } else { skb::store(ctx, packet.l4, &new) }
        }
        ip::SCTP => sctp::translate(ctx, packet, ports),
        ip::ICMPV6 => {
            skb::replace_check(ctx, packet.l4 + 2, 0, u64::from(addresses.sum()), PSEUDO)?;
            translate_echo(ctx, packet, ports)
        }
        _ => translate_echo(ctx, packet, ports),
    }
}

/// Adjusts the checksum of TCP or UDP.
#[inline(always)]
fn replace_checks(
    ctx: &TcContext,
    packet: &Packet,
    addresses: Difference,
    ports: Ports,
) -> Result<(), DropReason> {
    let (check, flags) = if packet.protocol == ip::TCP {
        (packet.l4 + 16, 0)
    } else {
        (packet.l4 + 6, u64::from(BPF_F_MARK_MANGLED_0))
    };
    skb::replace_check(ctx, check, 0, u64::from(addresses.sum()), flags | PSEUDO)?;
    let (old, new) = (packet.ports.word(), ports.word());
    if old == new {
        Ok(())
    } else {
        skb::replace_check(ctx, check, u64::from(old), u64::from(new), flags | 4)
    }
}

/// An echo has its identifier for a port; ICMP's checksum, other than ICMPv6's, has no pseudo-header in it.
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
