//! What the host sends to a container leaves by its network's bridge device, and goes from there to the container's
//! veth pair. The bridge has no ports: nothing is flooded, and what belongs to no endpoint ends here.

use aya_ebpf::programs::TcContext;
use beeline_abi::{Address, DropReason, ETHERNET_LEN, EthernetHeader, Ipv4Header, ether, ip, network_flags};

use crate::{
    arp, count,
    maps::{ENDPOINTS, GATEWAYS, NETWORKS, Table as _},
    multicast, nd,
    packet::{Packet, Transport},
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
