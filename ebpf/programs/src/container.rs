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
    Address, Device, Direction, DropReason, Endpoint, EthernetHeader, FlowKind, Network, PeerScope, Side,
    TrafficClass, TrafficKind, Volume, device_flags, ether, icmpv6 as types, ip, network_flags,
};

use crate::{
    arp,
    conntrack::{self, Outbound},
    conversation::{self, Noted},
    count,
    early::{self, Outcome},
    ends::Ends,
    forward::{self, NoRoute},
    icmp_error::Embedded,
    icmpv6::{self, Envelope},
    maps::{ADDRESSES, DEVICES, ENDPOINTS, NETWORKS, Table as _},
    masquerade::{self, Owner},
    multicast, nd,
    packet::{self, Packet, Transport},
    plan::{self, Plan},
    publish,
    skb::{self, INGRESS},
};

/// A packet of a container.
#[inline(always)]
pub fn ingress(ctx: &TcContext) -> i32 {
    let ifindex = skb::ifindex(ctx);
    let Some(device) = DEVICES.find(&ifindex) else {
        count::refused(ctx, DropReason::NoEndpoint);
        return TC_ACT_SHOT;
    };
    let slot = device.slot;
    let volume = count::volume(ctx);
    match judge(ctx, device, volume) {
        Ok((action, kind)) => {
            count::sent(slot, kind, volume);
            action
        }
        Err(reason) => {
            count::sent_in_vain(slot, volume);
            count::refused(ctx, reason);
            TC_ACT_SHOT
        }
    }
}

/// What becomes of a packet, and what it counts as.
#[inline(always)]
fn judge(ctx: &TcContext, device: &Device, volume: Volume) -> Result<(i32, TrafficKind), DropReason> {
    let frame = packet::take_frame(ctx)?;
    if frame.source != device.mac {
        return Err(DropReason::SpoofedMac);
    }
    match frame.protocol {
        ether::IPV4 => {}
        ether::ARP => return Ok((arp::from_container(ctx, device)?, TrafficKind::NEIGHBOURS)),
        // Without an address in this family, all that comes is the kernel looking for one.
        ether::IPV6 if device.address6.is_any_v6() => return Ok((TC_ACT_SHOT, TrafficKind::NEIGHBOURS)),
        ether::IPV6 => {}
        _ => return Err(DropReason::EtherType),
    }
    let packet = Packet::of_frame(ctx)?;
    let network = NETWORKS.find(&device.network).ok_or(DropReason::NoEndpoint)?;
    if let Some(action) = decide(ctx, device, &frame, packet, network)? {
        return Ok((action, TrafficKind::new(TrafficClass::of(packet.protocol), PeerScope::Network)));
    }
    if plan::made()?.is_leaving()
        && let Some(action) = leave(ctx, device, &frame, packet, network)?
    {
        return Ok((action, plan::made()?.kind(packet)));
    }
    let action = plan::follow(ctx, packet)?;
    let plan = plan::made()?;
    conversation::note(packet, plan, Noted { slot: device.slot, direction: Direction::Out }, volume);
    Ok((action, plan.kind(packet)))
}

/// Plans what becomes of a packet, unless it is dealt with here.
#[inline(always)]
fn decide(
    ctx: &TcContext,
    device: &Device,
    frame: &EthernetHeader,
    packet: &Packet,
    network: &Network,
) -> Result<Option<i32>, DropReason> {
    if packet.source != *device.own_for(&packet.source)
        && let Some(action) = of_no_global_address(ctx, device, frame, packet, network)?
    {
        return Ok(Some(action));
    }
    if packet.protocol == ip::ICMPV6
        && packet.transport == Transport::Other
        && let Some(outcome) = nd::from_container(ctx, device, frame, packet, network)
    {
        return outcome.map(Some);
    }
    if multicast::is_for_many(&packet.destination, network) {
        return multicast::from_container(ctx, device, packet, network).map(Some);
    }
    if packet.is_first {
        early::release(ctx, packet)?;
    } else if packet.transport == Transport::Unknown {
        match early::keep(ctx, packet) {
            Outcome::Kept => return Err(DropReason::FragmentEarly),
            Outcome::Found => return skb::redirect(skb::ifindex(ctx), INGRESS).map(Some),
            Outcome::Refused => {}
        }
    }
    let plan = plan::new()?;
    let is_inside = network.contains(&packet.destination) || packet.destination.is_link_local();
    if !is_inside && let Some(found) = known(device, packet, network) {
        plan.translate(&Ends::outbound(found.wire), 1);
        plan.leave(found.peer());
    } else if let Some(peer) = ENDPOINTS.find(&packet.destination.scoped(device.network)) {
        to_member(plan, device, packet, network, peer)?;
    } else if ADDRESSES.find(&packet.destination).is_some() {
        to_host(ctx, plan, device, packet, network)?;
    } else if is_inside {
        return Err(DropReason::NoEndpoint);
    } else {
        to_outside(ctx, plan, device, packet, network)?;
    }
    Ok(None)
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

/// The flow with the outside that a packet belongs to: most belong to one, and need no other look-up.
#[inline(always)]
fn known(device: &Device, packet: &Packet, network: &Network) -> Option<Outbound> {
    if !packet.has_ports() {
        return None;
    }
    let found = conntrack::outbound(packet, &packet.outbound(Side::Inside), device.generation)?;
    let is_internal = network.flags & network_flags::INTERNAL != 0;
    let is_open =
        found.kind == FlowKind::Published as u8 || found.kind == FlowKind::Masqueraded as u8 && !is_internal;
    is_open.then_some(found)
}

/// To another container: directly, unless it is the answer to a flow that came through a published port.
#[inline(always)]
fn to_member(
    plan: &mut Plan,
    device: &Device,
    packet: &Packet,
    network: &Network,
    peer: &Endpoint,
) -> Result<(), DropReason> {
    if peer.flags & device_flags::LOCAL_NAT != 0
        && packet.has_ports()
        && let Some(found) = conntrack::outbound(packet, &packet.outbound(Side::Inside), device.generation)
    {
        plan.translate(&Ends::outbound(found.wire), 0);
        plan.enter(peer, PeerScope::container(peer.network == device.network));
        return Ok(());
    }
    if peer.network != device.network || network.flags & network_flags::ICC == 0 {
        return Err(DropReason::Isolated);
    }
    plan.pass_over(peer);
    Ok(())
}

/// To an address of the host: a published port leads to its container, also back to the sender.
#[inline(always)]
fn to_host(
    ctx: &TcContext,
    plan: &mut Plan,
    device: &Device,
    packet: &Packet,
    network: &Network,
) -> Result<(), DropReason> {
    let is_echo = matches!(packet.protocol, ip::ICMP | ip::ICMPV6);
    if !packet.has_ports() || is_echo || !to_published(ctx, plan, device, packet, network)? {
        plan.go_up(network);
    }
    Ok(())
}

/// To a port that the host publishes, or back from one; tells whether it is either.
#[inline(always)]
fn to_published(
    ctx: &TcContext,
    plan: &mut Plan,
    device: &Device,
    packet: &Packet,
    network: &Network,
) -> Result<bool, DropReason> {
    let own = device.own_for(&packet.source);
    let wire = packet.inbound(Side::Wire);
    if device.flags & device_flags::LOCAL_NAT != 0 {
        if let Some(found) = conntrack::inbound(packet, &wire) {
            count::published(ctx, found.publish);
            plan.translate(&Ends::inbound(found.inside), 0);
            plan.enter(found.endpoint, PeerScope::container(found.endpoint.network == device.network));
            return Ok(true);
        }
        if from_published(plan, device, packet, network, own)? {
            return Ok(true);
        }
    }
    if packet.protocol == ip::TCP && !packet.opens() {
        return Ok(false);
    }
    let Some(target) = publish::find(&wire.local, wire.protocol, wire.local_port) else { return Ok(false) };
    let gateway = if target.publish.container == *own { Some(network.gateway_for(own)) } else { None };
    let opened = publish::open(ctx, packet, &wire, target, FlowKind::Hairpin, gateway)?;
    let Some((inside, endpoint)) = opened else { return Ok(false) };
    publish::raise_local_nat(own);
    count::published(ctx, target.slot);
    plan.translate(&Ends::inbound(inside), 0);
    plan.enter(endpoint, PeerScope::container(endpoint.network == device.network));
    Ok(true)
}

/// The answer to a flow with oneself, or with a socket at the host's loopback: the gateway stood in for it.
#[inline(always)]
fn from_published(
    plan: &mut Plan,
    device: &Device,
    packet: &Packet,
    network: &Network,
    own: &Address,
) -> Result<bool, DropReason> {
    let inside = packet.outbound(Side::Inside);
    let Some(found) = conntrack::outbound(packet, &inside, device.generation) else { return Ok(false) };
    plan.translate(&Ends::outbound(found.wire), 0);
    if found.kind != FlowKind::Loopback as u8 {
        plan.enter(ENDPOINTS.find(own).ok_or(DropReason::NoEndpoint)?, PeerScope::Network);
        return Ok(true);
    }
    if packet.is_v4() {
        plan.go_up(network);
    } else {
        // The kernel takes `::1` from no other device; IPv4's loopback it takes from those that are told to.
        plan.go_up_by_loopback();
    }
    Ok(true)
}

/// To the outside, by no flow that is known: a new one, or none at all.
#[inline(always)]
fn to_outside(
    ctx: &TcContext,
    plan: &mut Plan,
    device: &Device,
    packet: &Packet,
    network: &Network,
) -> Result<(), DropReason> {
    if packet.transport == Transport::Error {
        let embedded = Embedded::parse(ctx, packet)?;
        let found = embedded.flow_from_container(packet, device.generation);
        let found = found.ok_or(DropReason::IcmpUnrelated)?;
        embedded.plan_out(plan, packet, found.wire, 1);
        plan.leave(found.peer());
        return Ok(());
    }
    if network.flags & network_flags::INTERNAL != 0 {
        return Err(DropReason::Internal);
    }
    if !network.is_masqueraded(&packet.source) {
        plan.translate(&packet.ends(), 1);
        plan.leave(PeerScope::Outside);
        return Ok(());
    }
    if !packet.has_ports() {
        let is_fragment = packet.transport == Transport::Unknown;
        return Err(if is_fragment { DropReason::Fragment } else { DropReason::Protocol });
    }
    if !masquerade::may_begin(packet) {
        return Err(DropReason::NoFlow);
    }
    plan.leave_anew(packet);
    Ok(())
}

/// Looks up the way out, and begins the flow if there is none.
///
/// What needs an ICMP error, or cutting, is dealt with here: IPv4 takes the long way, as the host's stack does both and
/// `uplink_egress` translates what leaves; IPv6 packets are never cut, and their errors are ours.
#[inline(always)]
fn leave(
    ctx: &TcContext,
    device: &Device,
    frame: &EthernetHeader,
    packet: &Packet,
    network: &Network,
) -> Result<Option<i32>, DropReason> {
    let plan = plan::made()?;
    let source = plan.route_source(packet);
    let (reason, kind, mtu) = match forward::route(ctx, packet, network, &source, plan.ends().destination) {
        Ok(_) if packet.hops <= 1 => (DropReason::TtlExceeded, types::TIME_EXCEEDED, 0),
        Ok(route) => {
            let address = route.uplink.address_for(&packet.source);
            if let Some(address) = address
                && plan.has_moved(packet, address)
            {
                conntrack::forget(packet, device.network);
                plan.leave_anew(packet);
            }
            if plan.is_new() {
                let address = address.ok_or(DropReason::NoUplink)?;
                let inside = packet.outbound(Side::Inside);
                let owner = Owner { generation: device.generation, network: device.network };
                let wire = masquerade::open(ctx, packet, &inside, address, owner)?;
                plan.translate(&Ends::outbound(wire), 1);
            }
            plan.take(&route);
            return Ok(None);
        }
        Err(NoRoute::TooBig(mtu)) => (DropReason::TooBig, types::TOO_BIG, mtu),
        Err(NoRoute::Refused(reason)) => return Err(reason),
    };
    if packet.is_v4() {
        count::refused(ctx, reason);
        plan::new()?.detour(network);
        return Ok(None);
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
    skb::redirect(skb::ifindex(ctx), 0).map(Some)
}
