//! What the host sends to a container leaves by its network's bridge device, and goes from there to the container's
//! veth pair. The bridge has no ports: nothing is flooded, and what belongs to no endpoint ends here.

use aya_ebpf::programs::TcContext;
use beeline_abi::{
    Address, Direction, DropReason, Endpoint, EthernetHeader, Ipv4Header, Ipv6Header, PeerScope, Side,
    TrafficClass, TrafficKind, Tuple, ether, ip,
};

use crate::{
    arp, conntrack,
    conversation::{self, Noted},
    count,
    ends::Ends,
    event,
    maps::{ENDPOINTS, GATEWAYS, NETWORKS, Table as _},
    multicast, nat, nd,
    packet::{self, Packet, Transport},
    plan, publish,
    skb::{self, Verdict},
};

/// The first bit of a hardware address that many share.
const GROUP: u8 = 1;

/// A packet out of a bridge device.
#[inline(always)]
pub fn egress(ctx: &TcContext) -> Verdict {
    let frame = packet::take_frame(ctx)?;
    let (destination, class) = match frame.protocol {
        ether::IPV4 => {
            let header = v4()?;
            (header.destination_address(), TrafficClass::of(header.protocol))
        }
        ether::IPV6 => match v6(ctx, &frame)? {
            To::Endpoint(address, class) => (address, class),
            To::Answered(action) => return Ok(action),
        },
        ether::ARP => return arp::from_host(ctx),
        _ => return Err(DropReason::EtherType),
    };
    if frame.destination.octets[0] & GROUP != 0 {
        return multicast::from_host(ctx, TrafficKind::new(class, PeerScope::Host));
    }
    let endpoint = ENDPOINTS.find(&destination).ok_or(DropReason::NoEndpoint)?;
    let stand_in = if is_from_loopback(frame.protocol)? { Some(stand_in(ctx, endpoint)?) } else { None };
    let raw = skb::raw(ctx);
    if endpoint.gateway_ifindex != raw.ifindex {
        return Err(DropReason::Isolated);
    }
    // What the host only passes on comes from elsewhere.
    let peer = if raw.ingress_ifindex != 0 { PeerScope::Outside } else { PeerScope::Host };
    if peer == PeerScope::Outside {
        let network = NETWORKS.find(&endpoint.network).ok_or(DropReason::NoEndpoint)?;
        if !network.is_routed(&destination) {
            return Err(DropReason::NotRouted);
        }
    }
    if frame.destination != endpoint.mac {
        skb::store(ctx, 0, &endpoint.mac.octets)?;
    }
    let is_parsed = stand_in.is_some() || frame.protocol != ether::IPV4;
    note(ctx, endpoint, stand_in, peer, is_parsed)?;
    count::received(ctx, endpoint.slot, TrafficKind::new(class, peer));
    skb::redirect(endpoint.ifindex, 0)
}

/// Notes the packet, if it is one of those that are.
#[inline(always)]
fn note(
    ctx: &TcContext,
    endpoint: &Endpoint,
    stand_in: Option<&'static Tuple>,
    peer: PeerScope,
    is_parsed: bool,
) -> Result<(), DropReason> {
    // More than its addresses need not be known of most.
    if !event::is_listening() {
        return Ok(());
    }
    let packet = if is_parsed { Packet::last()? } else { Packet::of_frame(ctx)? };
    let plan = plan::new()?;
    plan.enter(endpoint, peer);
    if let Some(inside) = stand_in {
        plan.translate(&Ends::inbound(inside), 0);
    }
    let noted = Noted { slot: endpoint.slot, direction: Direction::In };
    conversation::note(packet, plan, noted, count::volume(ctx));
    Ok(())
}

/// The header of an IPv4 packet: more need not be known of most.
#[inline(always)]
fn v4() -> Result<Ipv4Header, DropReason> {
    packet::taken()?.bytes(0).and_then(Ipv4Header::parse).ok_or(DropReason::Malformed)
}

/// Where an IPv6 packet goes.
enum To {
    Endpoint(Address, TrafficClass),
    Answered(i32),
}

#[inline(always)]
fn v6(ctx: &TcContext, frame: &EthernetHeader) -> Result<To, DropReason> {
    let packet = Packet::of_frame(ctx)?;
    let network = *GATEWAYS.find(&skb::ifindex(ctx)).ok_or(DropReason::NoEndpoint)?;
    if packet.protocol == ip::ICMPV6 && packet.transport == Transport::Other && nd::is_one(packet) {
        return nd::from_host(ctx, frame, packet, network).map(To::Answered);
    }
    Ok(To::Endpoint(packet.destination.scoped(network), TrafficClass::of(packet.protocol)))
}

/// Whether the host's loopback address is where a packet comes from: a socket that was bound to it has been led here.
#[inline(always)]
fn is_from_loopback(protocol: u16) -> Result<bool, DropReason> {
    if protocol == ether::IPV4 {
        return Ok(v4()?.source_address().is_loopback());
    }
    let header = packet::taken()?.bytes(0).and_then(Ipv6Header::parse).ok_or(DropReason::Malformed)?;
    Ok(header.source.is_loopback())
}

/// Puts the gateway's address in place of the loopback's, which no container could answer; returns how the container sees it.
#[inline(always)]
fn stand_in(ctx: &TcContext, endpoint: &'static Endpoint) -> Result<&'static Tuple, DropReason> {
    let packet = Packet::of_frame(ctx)?;
    if !packet.has_ports() {
        return Err(DropReason::Protocol);
    }
    let wire = packet.inbound(Side::Wire);
    let inside = match conntrack::inbound(packet, &wire) {
        Some(found) => found.inside,
        None => {
            let network = NETWORKS.find(&endpoint.network).ok_or(DropReason::NoEndpoint)?;
            publish::open_from_loopback(packet, &wire, endpoint, network.gateway_for(&wire.local))?
        }
    };
    nat::translate(ctx, packet, &Ends::inbound(inside), 0)?;
    Ok(inside)
}
