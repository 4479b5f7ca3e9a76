//! What the host sends to a container leaves by its network's bridge device, and goes from there to the container's
//! veth pair. The bridge has no ports: nothing is flooded, and what belongs to no endpoint ends here.

use aya_ebpf::programs::TcContext;
use beeline_abi::{DropReason, ETHERNET_LEN, EthernetHeader, Ipv4Header, ether, network_flags};

use crate::{
    arp, count,
    maps::{ENDPOINTS, NETWORKS},
    skb::{self, Verdict},
};

/// A packet out of a bridge device.
#[inline(always)]
pub fn egress(ctx: &TcContext) -> Verdict {
    let frame = EthernetHeader::parse(&skb::load(ctx, 0).ok_or(DropReason::Malformed)?);
    match frame.protocol {
        ether::IPV4 => {}
        ether::ARP => return arp::from_host(ctx),
        ether::IPV6 => return Err(DropReason::Ipv6),
        _ => return Err(DropReason::EtherType),
    }
    let bytes = skb::load(ctx, ETHERNET_LEN as u32).ok_or(DropReason::Malformed)?;
    let header = Ipv4Header::parse(&bytes).ok_or(DropReason::Malformed)?;
    let endpoint = unsafe { ENDPOINTS.get(header.destination_address()) }.ok_or(DropReason::NoEndpoint)?;
    let raw = skb::raw(ctx);
    if endpoint.gateway_ifindex != raw.ifindex {
        return Err(DropReason::Isolated);
    }
    // What the host only passes on comes from elsewhere.
    if raw.ingress_ifindex != 0 {
        let network = unsafe { NETWORKS.get(endpoint.network) }.ok_or(DropReason::NoEndpoint)?;
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
