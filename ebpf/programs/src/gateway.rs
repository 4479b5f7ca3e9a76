//! What the host sends to a container leaves by its network's bridge device, and goes from there to the container's
//! veth pair. The bridge has no ports: nothing is flooded, and what belongs to no endpoint ends here.

use aya_ebpf::programs::TcContext;
use beeline_abi::{Address, DropReason, Endpoint, EthernetHeader, Ipv4Header, Ipv6Header, Side, ether, ip};

use crate::{
    arp, conntrack, count,
    ends::Ends,
    maps::{ENDPOINTS, GATEWAYS, NETWORKS, Table as _},
    multicast, nat, nd,
    packet::{self, Packet, Transport},
    publish,
    skb::{self, Verdict},
};

/// The first bit of a hardware address that many share.
const GROUP: u8 = 1;

/// A packet out of a bridge device.
#[inline(always)]
pub fn egress(ctx: &TcContext) -> Verdict {
    let frame = packet::take_frame(ctx)?;
    let destination = match frame.protocol {
        ether::IPV4 => v4()?.destination_address(),
        ether::IPV6 => match v6(ctx, &frame)? {
            To::Endpoint(address) => address,
            To::Answered(action) => return Ok(action),
        },
        ether::ARP => return arp::from_host(ctx),
        _ => return Err(DropReason::EtherType),
    };
    if frame.destination.octets[0] & GROUP != 0 {
        return multicast::from_host(ctx);
    }
    let endpoint = ENDPOINTS.find(&destination).ok_or(DropReason::NoEndpoint)?;
    if is_from_loopback(frame.protocol)? {
        stand_in(ctx, endpoint)?;
    }
    let raw = skb::raw(ctx);
    if endpoint.gateway_ifindex != raw.ifindex {
        return Err(DropReason::Isolated);
    }
    // What the host only passes on comes from elsewhere.
    if raw.ingress_ifindex != 0 {
        let network = NETWORKS.find(&endpoint.network).ok_or(DropReason::NoEndpoint)?;
        if !network.is_routed(&destination) {
            return Err(DropReason::NotRouted);
        }
    }
    if frame.destination != endpoint.mac {
        skb::store(ctx, 0, &endpoint.mac.octets)?;
    }
    count::received(ctx, endpoint.slot);
    skb::redirect(endpoint.ifindex, 0)
}

/// The header of an IPv4 packet: more need not be known of most.
#[inline(always)]
fn v4() -> Result<Ipv4Header, DropReason> {
    packet::taken()?.bytes(0).and_then(Ipv4Header::parse).ok_or(DropReason::Malformed)
}

/// Where an IPv6 packet goes.
enum To {
    Endpoint(Address),
    Answered(i32),
}

#[inline(always)]
fn v6(ctx: &TcContext, frame: &EthernetHeader) -> Result<To, DropReason> {
    let packet = Packet::of_frame(ctx)?;
    let network = *GATEWAYS.find(&skb::ifindex(ctx)).ok_or(DropReason::NoEndpoint)?;
    if packet.protocol == ip::ICMPV6 && packet.transport == Transport::Other && nd::is_one(packet) {
        return nd::from_host(ctx, frame, packet, network).map(To::Answered);
    }
    Ok(To::Endpoint(packet.destination.scoped(network)))
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

/// Puts the gateway's address in place of the loopback's, which no container could answer.
#[inline(always)]
fn stand_in(ctx: &TcContext, endpoint: &'static Endpoint) -> Result<(), DropReason> {
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
    nat::translate(ctx, packet, &Ends::inbound(inside), 0)
}
