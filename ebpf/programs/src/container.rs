//! What a container sends.
//!
//! ```text
//!                    own MAC, own address?  --no--> refused
//!                              |
//!      +-----------------+-----+-----------+------------------+
//!      | a member        | an address      | anything else    | broadcast,
//!      v                 v of the host     v                  v multicast
//!   its veth pair   published? -> member   flow or masquerade  refused
//!   (redirect_peer) else the bridge device (redirect_neigh)
//! ```

use aya_ebpf::{bindings::TC_ACT_SHOT, programs::TcContext};
use beeline_abi::{
    Device, DropReason, ETHERNET_LEN, Endpoint, EthernetHeader, FlowKind, Network, Side, Tuple, device_flags,
    ether, ip, network_flags,
};

use crate::{
    arp, conntrack, count,
    ends::Ends,
    forward,
    icmp_error::Embedded,
    maps::{ADDRESSES, DEVICES, ENDPOINTS, NETWORKS},
    masquerade, nat,
    packet::{Packet, Transport},
    publish,
    skb::{self, Verdict},
};

/// A packet of a container.
#[inline(always)]
pub fn ingress(ctx: &TcContext) -> i32 {
    let ifindex = skb::raw(ctx).ifindex;
    let Some(device) = DEVICES.get_ptr_mut(ifindex) else {
        count::refused(ctx, DropReason::NoEndpoint);
        return TC_ACT_SHOT;
    };
    let device = unsafe { &mut *device };
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
        ether::IPV6 => return Err(DropReason::Ipv6),
        _ => return Err(DropReason::EtherType),
    }
    let packet = Packet::parse(ctx, ETHERNET_LEN as u32)?;
    if packet.header.source_address() != device.address {
        return Err(DropReason::SpoofedAddress);
    }
    let destination = packet.header.destination_address();
    if packet.header.destination.to_ne_bytes()[0] >= 224 {
        return Err(DropReason::Multicast);
    }
    let network = unsafe { NETWORKS.get(device.network) }.ok_or(DropReason::NoEndpoint)?;
    let is_inside = packet.header.destination & network.mask == network.subnet;
    if !is_inside && let Some(wire) = known(device, &packet, network) {
        return or_the_long_way(ctx, &frame, network, along(ctx, &packet, wire));
    }
    if let Some(peer) = unsafe { ENDPOINTS.get(destination) } {
        return to_member(ctx, device, &frame, &packet, network, peer);
    }
    if unsafe { ADDRESSES.get(destination) }.is_some() {
        return to_host(ctx, device, &frame, &packet, network);
    }
    if is_inside {
        return Err(DropReason::NoEndpoint);
    }
    or_the_long_way(ctx, &frame, network, begin(ctx, device, &packet, network))
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

/// What needs an ICMP error, or cutting, takes the long way: the host's stack does both, and `uplink_egress` translates
/// what leaves.
#[inline(always)]
fn or_the_long_way(ctx: &TcContext, frame: &EthernetHeader, network: &Network, outcome: Verdict) -> Verdict {
    match outcome {
        Err(reason @ (DropReason::TooBig | DropReason::TtlExceeded)) => {
            count::refused(ctx, reason);
            forward::to_host(ctx, &frame.destination, &frame.source, network)
        }
        outcome => outcome,
    }
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
        return forward::to_container(ctx, packet.l3, peer);
    }
    if peer.network != device.network {
        return Err(DropReason::Isolated);
    }
    if network.flags & network_flags::ICC == 0 {
        return Err(DropReason::Isolated);
    }
    forward::to_member(ctx, &frame.destination, &frame.source, peer)
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
    let is_published = packet.has_ports() && packet.header.protocol != ip::ICMP;
    if is_published && let Some(action) = to_published(ctx, device, packet, network)? {
        return Ok(action);
    }
    forward::to_host(ctx, &frame.destination, &frame.source, network)
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
            return forward::to_container(ctx, packet.l3, found.endpoint).map(Some);
        }
        // The answer to a flow with oneself: the gateway stood in for the client.
        let inside = packet.outbound(Side::Inside);
        if let Some(found) = conntrack::outbound(packet, &inside, device.generation) {
            let own = unsafe { ENDPOINTS.get(device.address) }.ok_or(DropReason::NoEndpoint)?;
            nat::translate(ctx, packet, &Ends::outbound(found.wire), 0)?;
            return forward::to_container(ctx, packet.l3, own).map(Some);
        }
    }
    if packet.header.protocol == ip::TCP && !packet.opens() {
        return Ok(None);
    }
    let wire = packet.inbound(Side::Wire);
    let Some(target) = publish::find(&wire.local, wire.protocol, wire.local_port) else { return Ok(None) };
    let is_self = target.publish.container == device.address;
    let gateway = if is_self { Some(&network.gateway) } else { None };
    let Some((inside, endpoint)) = publish::open(ctx, packet, &wire, target, FlowKind::Hairpin, gateway)?
    else {
        return Ok(None);
    };
    // Only ever raised: from now on packets to this endpoint are looked up.
    device.flags |= device_flags::LOCAL_NAT;
    if let Some(own) = ENDPOINTS.get_ptr_mut(device.address) {
        unsafe { (*own).flags |= device_flags::LOCAL_NAT };
    }
    count::published(ctx, target.slot);
    nat::translate(ctx, packet, &Ends::inbound(inside), 0)?;
    forward::to_container(ctx, packet.l3, endpoint).map(Some)
}

/// To the outside, by no flow that is known: a new one, or none at all.
#[inline(always)]
fn begin(ctx: &TcContext, device: &Device, packet: &Packet, network: &Network) -> Verdict {
    if packet.transport == Transport::Error {
        return error_to_outside(ctx, device, packet);
    }
    let is_internal = network.flags & network_flags::INTERNAL != 0;
    let is_masqueraded = network.flags & network_flags::MASQUERADE != 0;
    if is_internal {
        return Err(DropReason::Internal);
    }
    if !is_masqueraded {
        let unchanged = packet.ends();
        let route = forward::route(ctx, packet, unchanged.source, unchanged.destination)?;
        nat::translate(ctx, packet, &unchanged, 1)?;
        return forward::to_outside(&route);
    }
    if !packet.has_ports() {
        let is_fragment = packet.transport == Transport::Unknown;
        return Err(if is_fragment { DropReason::Fragment } else { DropReason::Protocol });
    }
    if !masquerade::may_begin(packet) {
        return Err(DropReason::NoFlow);
    }
    let route = forward::route(ctx, packet, packet.header.source, packet.header.destination)?;
    if packet.header.ttl <= 1 {
        return Err(DropReason::TtlExceeded);
    }
    if !route.uplink.address.is_v4() {
        return Err(DropReason::NoUplink);
    }
    let inside = packet.outbound(Side::Inside);
    let wire = masquerade::open(ctx, packet, &inside, &route.uplink.address, device.generation)?;
    nat::translate(ctx, packet, &Ends::outbound(wire), 1)?;
    forward::to_outside(&route)
}

/// Along the flow that the packet belongs to.
#[inline(always)]
fn along(ctx: &TcContext, packet: &Packet, wire: &Tuple) -> Verdict {
    let route = forward::route(ctx, packet, wire.local.v4_word(), wire.remote.v4_word())?;
    nat::translate(ctx, packet, &Ends::outbound(wire), 1)?;
    forward::to_outside(&route)
}

/// A container's ICMP error about a packet that came to it.
#[inline(always)]
fn error_to_outside(ctx: &TcContext, device: &Device, packet: &Packet) -> Verdict {
    let embedded = Embedded::parse(ctx, packet)?;
    let found = embedded.flow_from_container(packet, device.generation).ok_or(DropReason::IcmpUnrelated)?;
    let wire = found.wire;
    let route = forward::route(ctx, packet, wire.local.v4_word(), wire.remote.v4_word())?;
    embedded.translate_out(ctx, packet, wire, 1)?;
    forward::to_outside(&route)
}
