//! What a container sends.
//!
//! ```text
//!                    own MAC, own address?  --no--> refused
//!                              |
//!      +-----------------+-----+-----------+------------------+
//!      | a member        | an address      | anything else    | broadcast,
//!      v                 v of the host     v                  v multicast
//!   its veth pair   published? -> member   flow or masquerade  a copy to each
//!   (redirect_peer) else the bridge device (redirect_neigh)    member
//! ```

use aya_ebpf::{bindings::TC_ACT_SHOT, programs::TcContext};
use beeline_abi::{
    Device, DropReason, ETHERNET_LEN, Endpoint, EthernetHeader, FlowKind, Network, Side, Tuple, device_flags,
    ether, icmpv6 as types, ip, network_flags,
};

use crate::{
    arp, conntrack, count,
    ends::Ends,
    forward::{self, NoRoute},
    icmp_error::Embedded,
    icmpv6::{self, Envelope},
    maps::{ADDRESSES, DEVICES, ENDPOINTS, NETWORKS, Table as _},
    masquerade, multicast, nat, nd,
    packet::{Packet, Transport},
    publish,
    skb::{self, Verdict},
};

/// A packet of a container.
#[inline(always)]
pub fn ingress(ctx: &TcContext) -> i32 {
    let ifindex = skb::ifindex(ctx);
    let Some(device) = DEVICES.find_mut(&ifindex) else {
        count::refused(ctx, DropReason::NoEndpoint);
        return TC_ACT_SHOT;
    };
    let slot = device.slot;
    count::sent(ctx, slot, false);
    match judge(ctx, device) {
        Ok(action) => action,
        Err(reason) => {
            count::sent(ctx, slot, true);
            count::refused(ctx, reason);
            TC_ACT_SHOT
        }
    }
}

#[inline(always)]
fn judge(ctx: &TcContext, device: &mut Device) -> Verdict {
    let frame = EthernetHeader::parse(&skb::load(ctx, 0).ok_or(DropReason::Malformed)?);
    if frame.source != device.mac {
        return Err(DropReason::SpoofedMac);
    }
    match frame.protocol {
        ether::IPV4 => {}
        ether::ARP => return arp::from_container(ctx, device),
        // Without an address in this family, all that comes is the kernel looking for one.
        ether::IPV6 if device.address6.is_any_v6() => return Ok(TC_ACT_SHOT),
        ether::IPV6 => {}
        _ => return Err(DropReason::EtherType),
    }
    let packet = Packet::parse(ctx, ETHERNET_LEN as u32)?;
    let network = NETWORKS.find(&device.network).ok_or(DropReason::NoEndpoint)?;
    if packet.source != *device.own_for(&packet.source)
        && let Some(action) = of_no_global_address(ctx, device, &frame, packet, network)?
    {
        return Ok(action);
    }
    if packet.protocol == ip::ICMPV6
        && packet.transport == Transport::Other
        && let Some(outcome) = nd::from_container(ctx, device, &frame, packet, network)
    {
        return outcome;
    }
    if multicast::is_for_many(&packet.destination, network) {
        return multicast::from_container(ctx, device, packet, network);
    }
    let is_inside = network.contains(&packet.destination) || packet.destination.is_link_local();
    if !is_inside && let Some(wire) = known(device, packet, network) {
        let outcome = along(ctx, packet, network, wire);
        return or_the_long_way(ctx, &frame, packet, network, outcome);
    }
    if let Some(peer) = ENDPOINTS.find(&packet.destination.scoped(device.network)) {
        return to_member(ctx, device, &frame, packet, network, peer);
    }
    if ADDRESSES.find(&packet.destination).is_some() {
        return to_host(ctx, device, &frame, packet, network);
    }
    if is_inside {
        return Err(DropReason::NoEndpoint);
    }
    let outcome = begin(ctx, device, packet, network);
    or_the_long_way(ctx, &frame, packet, network, outcome)
}

/// A packet that bears none of the container's addresses but perhaps its link-local one, which is good within the network;
/// of no address at all are only questions of neighbour discovery. None: it may go on.
#[inline(always)]
fn of_no_global_address(
    ctx: &TcContext,
    device: &Device,
    frame: &EthernetHeader,
    packet: &Packet,
    network: &Network,
) -> Result<Option<i32>, DropReason> {
    let is_near = packet.destination.is_link_local()
        || packet.destination.is_multicast()
        || network.contains(&packet.destination);
    if packet.source == device.link_local && is_near {
        return Ok(None);
    }
    if packet.is_v4() || !packet.source.is_any_v6() || packet.protocol != ip::ICMPV6 {
        return Err(DropReason::SpoofedAddress);
    }
    match nd::from_container(ctx, device, frame, packet, network) {
        Some(outcome) => outcome.map(Some),
        // A report of a membership, before the first address is sure.
        None => Ok(Some(TC_ACT_SHOT)),
    }
}

/// The way of a packet that belongs to a flow with the outside: most do, and need no other look-up.
#[inline(always)]
fn known(device: &Device, packet: &Packet, network: &Network) -> Option<&'static Tuple> {
    if !packet.has_ports() {
        return None;
    }
    let found = conntrack::outbound(packet, &packet.outbound(Side::Inside), device.generation)?;
    let is_internal = network.flags & network_flags::INTERNAL != 0;
    let is_open =
        found.kind == FlowKind::Published as u8 || found.kind == FlowKind::Masqueraded as u8 && !is_internal;
    is_open.then_some(found.wire)
}

/// What needs an ICMP error, or cutting. IPv4 takes the long way: the host's stack does both, and `uplink_egress` translates
/// what leaves. IPv6 packets are never cut, and their errors are ours.
#[inline(always)]
fn or_the_long_way(
    ctx: &TcContext,
    frame: &EthernetHeader,
    packet: &Packet,
    network: &Network,
    outcome: Result<i32, NoRoute>,
) -> Verdict {
    let (reason, kind, mtu) = match outcome {
        Ok(action) => return Ok(action),
        Err(NoRoute::TooBig(mtu)) => (DropReason::TooBig, types::TOO_BIG, mtu),
        Err(NoRoute::Refused(DropReason::TtlExceeded)) => (DropReason::TtlExceeded, types::TIME_EXCEEDED, 0),
        Err(NoRoute::Refused(reason)) => return Err(reason),
    };
    if packet.is_v4() {
        count::refused(ctx, reason);
        return forward::to_host(ctx, &frame.destination, network);
    }
    // No error is sent about an error (RFC 4443, section 2.4).
    if packet.transport == Transport::Error {
        return Err(reason);
    }
    count::refused(ctx, reason);
    let envelope = Envelope {
        source_mac: &network.gateway_mac,
        destination_mac: &frame.source,
        source: &network.gateway6,
        destination: &packet.source,
    };
    icmpv6::complain(ctx, &envelope, kind, mtu)?;
    skb::redirect(skb::ifindex(ctx), 0)
}

/// To another container: directly, unless it is the answer to a flow that came through a published port.
#[inline(always)]
fn to_member(
    ctx: &TcContext,
    device: &Device,
    frame: &EthernetHeader,
    packet: &Packet,
    network: &Network,
    peer: &'static Endpoint,
) -> Verdict {
    if peer.flags & device_flags::LOCAL_NAT != 0
        && packet.has_ports()
        && let Some(found) = conntrack::outbound(packet, &packet.outbound(Side::Inside), device.generation)
    {
        nat::translate(ctx, packet, &Ends::outbound(found.wire), 0)?;
        return forward::to_container(ctx, packet, peer);
    }
    if peer.network != device.network {
        return Err(DropReason::Isolated);
    }
    if network.flags & network_flags::ICC == 0 {
        return Err(DropReason::Isolated);
    }
    forward::to_member(ctx, &frame.destination, peer)
}

/// To an address of the host: a published port leads to its container, also back to the sender.
#[inline(always)]
fn to_host(
    ctx: &TcContext,
    device: &mut Device,
    frame: &EthernetHeader,
    packet: &Packet,
    network: &Network,
) -> Verdict {
    let is_echo = matches!(packet.protocol, ip::ICMP | ip::ICMPV6);
    let is_published = packet.has_ports() && !is_echo;
    if is_published && let Some(action) = to_published(ctx, device, packet, network)? {
        return Ok(action);
    }
    forward::to_host(ctx, &frame.destination, network)
}

#[inline(always)]
fn to_published(
    ctx: &TcContext,
    device: &mut Device,
    packet: &Packet,
    network: &Network,
) -> Result<Option<i32>, DropReason> {
    if device.flags & device_flags::LOCAL_NAT != 0 {
        let wire = packet.inbound(Side::Wire);
        if let Some(found) = conntrack::inbound(packet, &wire) {
            count::published(ctx, found.publish);
            nat::translate(ctx, packet, &Ends::inbound(found.inside), 0)?;
            return forward::to_container(ctx, packet, found.endpoint).map(Some);
        }
        // The answer to a flow with oneself: the gateway stood in for the client.
        let inside = packet.outbound(Side::Inside);
        if let Some(found) = conntrack::outbound(packet, &inside, device.generation) {
            let own = ENDPOINTS.find(device.own_for(&packet.source)).ok_or(DropReason::NoEndpoint)?;
            nat::translate(ctx, packet, &Ends::outbound(found.wire), 0)?;
            return forward::to_container(ctx, packet, own).map(Some);
        }
    }
    if packet.protocol == ip::TCP && !packet.opens() {
        return Ok(None);
    }
    let wire = packet.inbound(Side::Wire);
    let Some(target) = publish::find(&wire.local, wire.protocol, wire.local_port) else { return Ok(None) };
    let own = device.own_for(&packet.source);
    let gateway = if target.publish.container == *own { Some(network.gateway_for(own)) } else { None };
    let Some((inside, endpoint)) = publish::open(ctx, packet, &wire, target, FlowKind::Hairpin, gateway)?
    else {
        return Ok(None);
    };
    // Only ever raised: from now on packets to this endpoint are looked up.
    if let Some(own) = ENDPOINTS.find_mut(own) {
        own.flags |= device_flags::LOCAL_NAT;
    }
    device.flags |= device_flags::LOCAL_NAT;
    count::published(ctx, target.slot);
    nat::translate(ctx, packet, &Ends::inbound(inside), 0)?;
    forward::to_container(ctx, packet, endpoint).map(Some)
}

/// To the outside, by no flow that is known: a new one, or none at all.
#[inline(always)]
fn begin(ctx: &TcContext, device: &Device, packet: &Packet, network: &Network) -> Result<i32, NoRoute> {
    if packet.transport == Transport::Error {
        return error_to_outside(ctx, device, packet, network);
    }
    let is_internal = network.flags & network_flags::INTERNAL != 0;
    let is_masqueraded = network.flags & network_flags::MASQUERADE != 0;
    if is_internal {
        return Err(DropReason::Internal.into());
    }
    if !is_masqueraded {
        return send(ctx, packet, network, &packet.ends());
    }
    if !packet.has_ports() {
        let is_fragment = packet.transport == Transport::Unknown;
        return Err(if is_fragment { DropReason::Fragment } else { DropReason::Protocol }.into());
    }
    if !masquerade::may_begin(packet) {
        return Err(DropReason::NoFlow.into());
    }
    let route = forward::route(ctx, packet, network, &packet.source, &packet.destination)?;
    if packet.hops <= 1 {
        return Err(DropReason::TtlExceeded.into());
    }
    let address = route.uplink.address_for(&packet.source).ok_or(DropReason::NoUplink)?;
    let inside = packet.outbound(Side::Inside);
    let wire = masquerade::open(ctx, packet, &inside, address, device.generation)?;
    nat::translate(ctx, packet, &Ends::outbound(wire), 1)?;
    Ok(forward::to_outside(packet, &route)?)
}

/// Along the flow that the packet belongs to.
#[inline(always)]
fn along(ctx: &TcContext, packet: &Packet, network: &Network, wire: &Tuple) -> Result<i32, NoRoute> {
    send(ctx, packet, network, &Ends::outbound(wire))
}

/// To the outside with these ends.
#[inline(always)]
fn send(ctx: &TcContext, packet: &Packet, network: &Network, ends: &Ends<'_>) -> Result<i32, NoRoute> {
    let route = forward::route(ctx, packet, network, ends.source, ends.destination)?;
    nat::translate(ctx, packet, ends, 1)?;
    Ok(forward::to_outside(packet, &route)?)
}

/// A container's ICMP error about a packet that came to it.
#[inline(always)]
fn error_to_outside(
    ctx: &TcContext,
    device: &Device,
    packet: &Packet,
    network: &Network,
) -> Result<i32, NoRoute> {
    let embedded = Embedded::parse(ctx, packet)?;
    let found = embedded.flow_from_container(packet, device.generation).ok_or(DropReason::IcmpUnrelated)?;
    let wire = found.wire;
    let route = forward::route(ctx, packet, network, &wire.local, &wire.remote)?;
    embedded.translate_out(ctx, packet, wire, 1)?;
    Ok(forward::to_outside(packet, &route)?)
}
