//! Packets from and to the outside.

use aya_ebpf::{bindings::TC_ACT_UNSPEC, programs::TcContext};
use beeline_abi::{
    Address, DropReason, ETHERNET_LEN, FlowKind, Side, ether, ip, network_flags, uplink_flags,
};

use crate::{
    conntrack, count,
    ends::Ends,
    forward::to_container,
    icmp_error::Embedded,
    maps::{ADDRESSES, ENDPOINTS, NETWORKS, Table as _, UPLINKS},
    masquerade, nat,
    packet::{Packet, RST, Transport},
    publish,
    skb::{self, PACKET_HOST, Verdict},
};

/// Not ours: the next program, or the stack.
const PASS: Verdict = Ok(TC_ACT_UNSPEC);

/// Where the IP header begins at this device; none if it is no uplink.
#[inline(always)]
fn l3_offset(ctx: &TcContext) -> Option<u32> {
    let uplink = UPLINKS.find(&skb::ifindex(ctx))?;
    Some(if uplink.flags & uplink_flags::LAYER3 != 0 { 0 } else { ETHERNET_LEN as u32 })
}

/// A packet from outside.
#[inline(always)]
pub fn ingress(ctx: &TcContext) -> Verdict {
    if !skb::is_ip(ctx) || skb::raw(ctx).pkt_type != PACKET_HOST {
        return PASS;
    }
    let Some(l3) = l3_offset(ctx) else { return PASS };
    // What cannot be parsed is the stack's to judge.
    let Ok(packet) = Packet::parse(ctx, l3) else { return PASS };
    match packet.transport {
        Transport::Header | Transport::Later => {}
        Transport::Error => return error(ctx, packet),
        Transport::Unknown => {
            count::refused(ctx, DropReason::Fragment);
            return unknown(ctx, packet);
        }
        Transport::Other => return unknown(ctx, packet),
    }
    let wire = packet.inbound(Side::Wire);
    if let Some(found) = conntrack::inbound(packet, &wire) {
        count::published(ctx, found.publish);
        let ends = Ends::inbound(found.inside);
        nat::translate(ctx, packet, &ends, 1)?;
        return to_container(ctx, packet, found.endpoint);
    }
    if ADDRESSES.find(&wire.local).is_none() {
        return unknown(ctx, packet);
    }
    let Some(target) = publish::find(&wire.local, wire.protocol, wire.local_port) else { return PASS };
    // Whoever answers a socket of the host gets through to it, also from a published port's number.
    let is_opening = packet.protocol == ip::TCP && packet.opens();
    if !is_opening && (packet.tcp & RST != 0 || masquerade::host_is_connected(ctx, &wire)) {
        return PASS;
    }
    let Some((inside, endpoint)) = publish::open(ctx, packet, &wire, target, FlowKind::Published, None)?
    else {
        return PASS;
    };
    count::published(ctx, target.slot);
    nat::translate(ctx, packet, &Ends::inbound(inside), 1)?;
    to_container(ctx, packet, endpoint)
}

/// A packet of no flow: containers' addresses are reachable only where a network says so.
#[inline(always)]
fn unknown(ctx: &TcContext, packet: &Packet) -> Verdict {
    let Some(endpoint) = ENDPOINTS.find(&packet.destination) else { return PASS };
    let network = NETWORKS.find(&endpoint.network).ok_or(DropReason::NoEndpoint)?;
    if network.flags & network_flags::ROUTED == 0 {
        return Err(DropReason::NotRouted);
    }
    nat::translate(ctx, packet, &packet.ends(), 1)?;
    to_container(ctx, packet, endpoint)
}

/// An ICMP error from outside.
#[inline(always)]
fn error(ctx: &TcContext, packet: &Packet) -> Verdict {
    let Ok(embedded) = Embedded::parse(ctx, packet) else { return PASS };
    let Some(found) = embedded.flow_from_outside(packet) else { return unknown(ctx, packet) };
    embedded.translate_in(ctx, packet, found.inside, 1)?;
    to_container(ctx, packet, found.endpoint)
}

/// Where a packet says it comes from, without parsing the rest: most are none of ours.
#[inline(always)]
fn source(ctx: &TcContext, l3: u32) -> Option<Address> {
    if skb::raw(ctx).protocol == u32::from(ether::IPV4.to_be()) {
        return skb::load(ctx, l3 + 12).map(|bytes| Address::v4(u32::from_ne_bytes(bytes)));
    }
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = skb::load(ctx, l3 + 8)?;
    let words = [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]];
    Some(Address { words: words.map(u32::from_ne_bytes) })
}

/// A packet on its way outside. What containers send is translated before it gets here; what took the host's stack
/// instead must not leave under an address that nobody can answer.
#[inline(always)]
pub fn egress(ctx: &TcContext) -> Verdict {
    if !skb::is_ip(ctx) {
        return PASS;
    }
    let Some(l3) = l3_offset(ctx) else { return PASS };
    let Some(source) = source(ctx, l3) else { return PASS };
    let Some(endpoint) = ENDPOINTS.find(&source) else { return PASS };
    let network = NETWORKS.find(&endpoint.network).ok_or(DropReason::NoEndpoint)?;
    if network.flags & network_flags::INTERNAL != 0 {
        return Err(DropReason::Internal);
    }
    if network.flags & network_flags::MASQUERADE == 0 {
        return PASS;
    }
    let packet = Packet::parse(ctx, l3)?;
    if !packet.has_ports() {
        return Err(DropReason::Protocol);
    }
    let inside = packet.outbound(Side::Inside);
    if let Some(found) = conntrack::outbound(packet, &inside, endpoint.generation) {
        nat::translate(ctx, packet, &Ends::outbound(found.wire), 0)?;
        return PASS;
    }
    if !masquerade::may_begin(packet) {
        return Err(DropReason::NoFlow);
    }
    let uplink = UPLINKS.find(&skb::ifindex(ctx)).ok_or(DropReason::NoUplink)?;
    let address = uplink.address_for(&source).ok_or(DropReason::NoUplink)?;
    let wire = masquerade::open(ctx, packet, &inside, address, endpoint.generation)?;
    nat::translate(ctx, packet, &Ends::outbound(wire), 0)?;
    PASS
}
