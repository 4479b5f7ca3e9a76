//! What the host sends to a container leaves by its network's bridge device, and goes from there to the container's
//! veth pair. The bridge has no ports: nothing is flooded, and what belongs to no endpoint ends here.

use aya_ebpf::programs::TcContext;
use beeline_abi::{
    Address, DropReason, ETHERNET_LEN, Endpoint, EthernetHeader, Ipv4Header, Side, ether, ip, network_flags,
};

use crate::{
    arp, conntrack, count,
    ends::Ends,
    maps::{ENDPOINTS, GATEWAYS, NETWORKS, Table as _},
    multicast, nat, nd,
    packet::{Packet, Transport},
    publish,
    skb::{self, Verdict},
};

/// The first bit of a hardware address that many share.
const GROUP: u8 = 1;

/// A packet out of a bridge device.
#[inline(always)]
pub fn egress(ctx: &TcContext) -> Verdict {
    let frame = EthernetHeader::parse(&skb::load(ctx, 0).ok_or(DropReason::Malformed)?);
    let destination = match frame.protocol {
        ether::IPV4 => {
            let bytes = skb::load(ctx, ETHERNET_LEN as u32).ok_or(DropReason::Malformed)?;
            Ipv4Header::parse(&bytes).ok_or(DropReason::Malformed)?.destination_address()
        }
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
    if is_from_loopback(ctx, frame.protocol)? {
        stand_in(ctx, endpoint)?;
    }
    let raw = skb::raw(ctx);
    if endpoint.gateway_ifindex != raw.ifindex {
        return Err(DropReason::Isolated);
    }
    // What the host only passes on comes from elsewhere.
    if raw.ingress_ifindex != 0 {
        let network = NETWORKS.find(&endpoint.network).ok_or(DropReason::NoEndpoint)?;
        if network.flags & network_flags::ROUTED == 0 {
            return Err(DropReason::NotRouted);
        }
    }
    if frame.destination != endpoint.mac {
        skb::store(ctx, 0, &endpoint.mac.octets)?;
    }
    count::received(ctx, endpoint.slot);
    skb::redirect(endpoint.ifindex, 0)
}

/// Where an IPv6 packet goes.
enum To {
    Endpoint(Address),
    Answered(i32),
}

#[inline(always)]
fn v6(ctx: &TcContext, frame: &EthernetHeader) -> Result<To, DropReason> {
    let packet = Packet::parse(ctx, ETHERNET_LEN as u32)?;
    let network = *GATEWAYS.find(&skb::ifindex(ctx)).ok_or(DropReason::NoEndpoint)?;
    if packet.protocol == ip::ICMPV6 && packet.transport == Transport::Other && nd::is_one(packet) {
        return nd::from_host(ctx, frame, packet, network).map(To::Answered);
    }
    Ok(To::Endpoint(packet.destination.scoped(network)))
}

/// Whether the host's loopback address is where a packet comes from: a socket that was bound to it has been led here.
#[inline(always)]
fn is_from_loopback(ctx: &TcContext, protocol: u16) -> Result<bool, DropReason> {
    let l3 = ETHERNET_LEN as u32;
    let source = if protocol == ether::IPV4 { skb::v4_source(ctx, l3) } else { skb::v6_source(ctx, l3) };
    Ok(source.ok_or(DropReason::Malformed)?.is_loopback())
}

/// Puts the gateway's address in place of the loopback's, which no container could answer.
#[inline(always)]
fn stand_in(ctx: &TcContext, endpoint: &'static Endpoint) -> Result<(), DropReason> {
    let packet = Packet::parse(ctx, ETHERNET_LEN as u32)?;
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
