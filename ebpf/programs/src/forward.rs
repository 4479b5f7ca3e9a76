//! Handing a packet on.

use core::mem::{size_of, zeroed};

use aya_ebpf::{
    bindings::{
        BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_SUCCESS,
        bpf_fib_lookup as FibParams, bpf_redir_neigh, bpf_redir_neigh__bindgen_ty_1,
    },
    helpers::{bpf_fib_lookup, bpf_redirect_neigh, bpf_skb_change_head},
    programs::TcContext,
};
use beeline_abi::{DropReason, ETHERNET_LEN, Endpoint, MacAddress, Network, Uplink, ether};

use crate::{
    count,
    maps::UPLINKS,
    packet::Packet,
    skb::{self, INGRESS, Verdict},
};

const AF_INET: u8 = 2;

/// An Ethernet header as it is written.
#[repr(C)]
struct Header {
    destination: [u8; 6],
    source: [u8; 6],
    protocol: u16,
}

#[inline(always)]
fn header(destination: &MacAddress, source: &MacAddress) -> Header {
    Header { destination: destination.octets, source: source.octets, protocol: ether::IPV4.to_be() }
}

/// Delivers into the container. `l3` is where the IP header begins: a packet of a layer-3 device gets its Ethernet
/// header now.
#[inline(always)]
pub fn to_container(ctx: &TcContext, l3: u32, endpoint: &Endpoint) -> Verdict {
    count::received(ctx, endpoint.slot);
    let header = header(&endpoint.mac, &endpoint.gateway_mac);
    if l3 == 0 && unsafe { bpf_skb_change_head(ctx.skb.skb, ETHERNET_LEN as u32, 0) } != 0 {
        return Err(DropReason::Helper);
    }
    skb::store(ctx, 0, &header)?;
    skb::claim(ctx);
    skb::redirect_peer(endpoint.ifindex)
}

/// Delivers from one container to another of its network: the frame is theirs, only its way is ours.
#[inline(always)]
pub fn to_member(
    ctx: &TcContext,
    destination: &MacAddress,
    source: &MacAddress,
    endpoint: &Endpoint,
) -> Verdict {
    count::received(ctx, endpoint.slot);
    if *destination != endpoint.mac {
        skb::store(ctx, 0, &header(&endpoint.mac, source))?;
    }
    skb::claim(ctx);
    skb::redirect_peer(endpoint.ifindex)
}

/// Delivers to the host's own stack, as if it came in by the network's bridge device.
#[inline(always)]
pub fn to_host(ctx: &TcContext, destination: &MacAddress, source: &MacAddress, network: &Network) -> Verdict {
    if *destination != network.gateway_mac {
        skb::store(ctx, 0, &header(&network.gateway_mac, source))?;
    }
    skb::claim(ctx);
    skb::redirect(network.gateway_ifindex, INGRESS)
}

/// The way to an address outside.
pub struct Route {
    pub ifindex: u32,
    /// Whom to hand the packet to, as its word in a packet.
    pub next_hop: u32,
    pub uplink: &'static Uplink,
}

/// Asks the kernel for the way of a packet with these addresses.
#[inline(always)]
pub fn route(ctx: &TcContext, packet: &Packet, source: u32, destination: u32) -> Result<Route, DropReason> {
    let raw = skb::raw(ctx);
    let mut params: FibParams = unsafe { zeroed() };
    params.family = AF_INET;
    params.l4_protocol = packet.header.protocol;
    params.ifindex = raw.ifindex;
    // A GSO packet is cut later: its segments are compared below.
    params.__bindgen_anon_1.tot_len = if raw.gso_size == 0 { packet.header.total_len } else { 0 };
    params.__bindgen_anon_3.ipv4_src = source;
    params.__bindgen_anon_4.ipv4_dst = destination;
    let size = size_of::<FibParams>() as i32;
    let outcome = unsafe { bpf_fib_lookup(ctx.skb.skb.cast(), &mut params, size, 0) };
    match outcome as u32 {
        BPF_FIB_LKUP_RET_SUCCESS | BPF_FIB_LKUP_RET_NO_NEIGH => {}
        BPF_FIB_LKUP_RET_FRAG_NEEDED => {
            return Err(DropReason::TooBig);
        }
        _ => return Err(DropReason::NoRoute),
    }
    let ifindex = params.ifindex;
    let uplink = unsafe { UPLINKS.get(ifindex) }.ok_or(DropReason::NoUplink)?;
    let segment = u32::from(packet.header.header_len) + u32::from(packet.tcp_len) + raw.gso_size;
    if raw.gso_size != 0 && packet.tcp_len != 0 && uplink.mtu != 0 && segment > uplink.mtu {
        return Err(DropReason::TooBig);
    }
    Ok(Route { ifindex, next_hop: unsafe { params.__bindgen_anon_4.ipv4_dst }, uplink })
}

/// Sends out by a route; the kernel finds the neighbour and writes the frame's header.
#[inline(always)]
pub fn to_outside(route: &Route) -> Verdict {
    let mut params = bpf_redir_neigh {
        nh_family: u32::from(AF_INET),
        __bindgen_anon_1: bpf_redir_neigh__bindgen_ty_1 { ipv6_nh: [0; 4] },
    };
    params.__bindgen_anon_1.ipv4_nh = route.next_hop;
    let size = size_of::<bpf_redir_neigh>() as i32;
    Ok(unsafe { bpf_redirect_neigh(route.ifindex, &mut params, size, 0) } as i32)
}
