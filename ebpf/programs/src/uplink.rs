//! Packets from and to the outside.

use aya_ebpf::{bindings::TC_ACT_UNSPEC, programs::TcContext};
use beeline_abi::{
    Address, DropReason, ETHERNET_LEN, Endpoint, FlowKind, NO_PUBLISH, PeerScope, Side, Tuple, ether, ip,
    network_flags, uplink_flags,
};

use crate::{
    conntrack, count,
    early::{self, Outcome},
    ends::Ends,
    icmp_error::Embedded,
    maps::{ADDRESSES, ENDPOINTS, NETWORKS, Table as _, UPLINKS},
    masquerade::{self, Owner},
    nat,
    packet::{Packet, RST, Transport},
    plan::{self, Plan},
    publish,
    skb::{self, INGRESS, PACKET_HOST, Verdict},
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
    let plan = plan::new()?;
    match packet.transport {
        Transport::Header | Transport::Later => to_flow(ctx, plan, packet)?,
        Transport::Error => error(ctx, plan, packet)?,
        Transport::Unknown | Transport::Other => unknown(plan, packet)?,
    }
    if packet.is_first {
        first(ctx, plan, packet)?;
    } else if packet.transport == Transport::Unknown && plan.is_past() {
        return overtook(ctx, packet);
    }
    plan::follow(ctx, packet)
}

/// A first fragment takes those with it that came before it. The stack has had them already.
#[inline(always)]
fn first(ctx: &TcContext, plan: &Plan, packet: &Packet) -> Result<(), DropReason> {
    if plan.is_past() {
        early::forget(packet);
        return Ok(());
    }
    early::release(ctx, packet)
}

/// A fragment that came before its first. The stack gets it, in case that the first is for it, too.
#[inline(always)]
fn overtook(ctx: &TcContext, packet: &Packet) -> Verdict {
    if ADDRESSES.find(&packet.destination).is_none() {
        return PASS;
    }
    match early::keep(ctx, packet) {
        Outcome::Kept => PASS,
        Outcome::Found => skb::redirect(skb::ifindex(ctx), INGRESS),
        Outcome::Refused => {
            count::refused(ctx, DropReason::Fragment);
            PASS
        }
    }
}

/// Along the flow that the packet belongs to, or begins.
#[inline(always)]
fn to_flow(ctx: &TcContext, plan: &mut Plan, packet: &Packet) -> Result<(), DropReason> {
    let wire = packet.inbound(Side::Wire);
    if let Some(found) = conntrack::inbound(packet, &wire) {
        goes_on(packet)?;
        count::published(ctx, found.publish);
        plan.translate(&Ends::inbound(found.inside), 1);
        plan.enter(found.endpoint, from(found.publish));
        return Ok(());
    }
    if ADDRESSES.find(&wire.local).is_none() {
        return unknown(plan, packet);
    }
    let Some(target) = publish::find(&wire.local, wire.protocol, wire.local_port) else { return Ok(()) };
    // Whoever answers a socket of the host gets through to it, also from a published port's number.
    let is_opening = packet.protocol == ip::TCP && packet.opens();
    if !is_opening && (packet.tcp & RST != 0 || masquerade::host_is_connected(ctx, &wire)) {
        return Ok(());
    }
    goes_on(packet)?;
    let opened = publish::open(ctx, packet, &wire, target, FlowKind::Published, None)?;
    let Some((inside, endpoint)) = opened else { return Ok(()) };
    count::published(ctx, target.slot);
    plan.translate(&Ends::inbound(inside), 1);
    plan.enter(endpoint, PeerScope::Published);
    Ok(())
}

/// Whom a packet of a flow through this publish, or none, comes from.
#[inline(always)]
fn from(publish: u32) -> PeerScope {
    if publish == NO_PUBLISH { PeerScope::Outside } else { PeerScope::Published }
}

/// What has no hop left counts for nothing and opens nothing.
#[inline(always)]
fn goes_on(packet: &Packet) -> Result<(), DropReason> {
    if packet.hops > 1 { Ok(()) } else { Err(DropReason::TtlExceeded) }
}

/// A packet of no flow: containers' addresses are reachable only where a network says so.
#[inline(always)]
fn unknown(plan: &mut Plan, packet: &Packet) -> Result<(), DropReason> {
    let Some(endpoint) = ENDPOINTS.find(&packet.destination) else { return Ok(()) };
    let network = NETWORKS.find(&endpoint.network).ok_or(DropReason::NoEndpoint)?;
    if !network.is_routed(&packet.destination) {
        return Err(DropReason::NotRouted);
    }
    plan.translate(&packet.ends(), 1);
    plan.enter(endpoint, PeerScope::Outside);
    Ok(())
}

/// An ICMP error from outside.
#[inline(always)]
fn error(ctx: &TcContext, plan: &mut Plan, packet: &Packet) -> Result<(), DropReason> {
    let Ok(embedded) = Embedded::parse(ctx, packet) else { return Ok(()) };
    let Some(found) = embedded.flow_from_outside(packet) else { return unknown(plan, packet) };
    embedded.plan_in(plan, packet, found.inside, 1);
    plan.enter(found.endpoint, from(found.publish));
    Ok(())
}

/// Where a packet says it comes from. Most are none of ours: nothing else is asked of the packet, nor of its device.
#[inline(always)]
fn source(ctx: &TcContext) -> Option<Address> {
    if skb::raw(ctx).protocol == u32::from(ether::IPV4.to_be()) {
        skb::load_from_network(ctx, 12).map(|bytes| Address::v4(u32::from_ne_bytes(bytes)))
    } else {
        skb::load_from_network(ctx, 8).map(skb::address)
    }
}

/// A packet on its way outside. What containers send is translated before it gets here; what took the host's stack
/// instead must not leave under an address that nobody can answer.
#[inline(always)]
pub fn egress(ctx: &TcContext) -> Verdict {
    if !skb::is_ip(ctx) {
        return PASS;
    }
    let Some(source) = source(ctx) else { return PASS };
    let Some(endpoint) = ENDPOINTS.find(&source) else { return PASS };
    let Some(l3) = l3_offset(ctx) else { return PASS };
    let network = NETWORKS.find(&endpoint.network).ok_or(DropReason::NoEndpoint)?;
    if network.flags & network_flags::INTERNAL != 0 {
        return Err(DropReason::Internal);
    }
    if !network.is_masqueraded(&source) {
        return PASS;
    }
    let packet = Packet::parse(ctx, l3)?;
    if !packet.has_ports() {
        return Err(DropReason::Protocol);
    }
    let inside = packet.outbound(Side::Inside);
    let wire = match conntrack::outbound(packet, &inside, endpoint.generation) {
        Some(found) => found.wire,
        None => begin(ctx, packet, &inside, endpoint)?,
    };
    nat::translate(ctx, packet, &Ends::outbound(wire), 0)?;
    PASS
}

/// Makes the flow of a packet that leaves.
#[inline(always)]
fn begin(
    ctx: &TcContext,
    packet: &Packet,
    inside: &Tuple,
    endpoint: &Endpoint,
) -> Result<&'static Tuple, DropReason> {
    if !masquerade::may_begin(packet) {
        return Err(DropReason::NoFlow);
    }
    let uplink = UPLINKS.find(&skb::ifindex(ctx)).ok_or(DropReason::NoUplink)?;
    let address = uplink.address_for(&packet.source).ok_or(DropReason::NoUplink)?;
    let owner = Owner { generation: endpoint.generation, network: endpoint.network };
    masquerade::open(ctx, packet, inside, address, owner)
}
