//! Handing a packet on.

use core::mem::size_of;

use aya_ebpf::{
    bindings::{
        BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_SUCCESS,
        bpf_fib_lookup as FibParams, bpf_redir_neigh, bpf_redir_neigh__bindgen_ty_1,
    },
    btf_maps::PerCpuArray,
    helpers::{bpf_fib_lookup, bpf_redirect_neigh, bpf_skb_change_head},
    macros::btf_map,
    programs::TcContext,
};
use beeline_abi::{Address, DropReason, ETHERNET_LEN, MacAddress, Network, TrafficKind, Uplink, ether};

use crate::{
    count,
    maps::{self, Table as _, UPLINKS},
    packet::Packet,
    skb::{self, Verdict},
};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// That the mark counts (`BPF_FIB_LOOKUP_MARK`). Kernels before 6.10 do not know it, and refuse.
const LOOKUP_MARK: u32 = 1 << 5;
const EINVAL: i64 = 22;

/// An Ethernet header as it is written.
#[repr(C)]
struct Header {
    destination: [u8; 6],
    source: [u8; 6],
    protocol: u16,
}

/// Gives the packet a frame's header. One of a layer-3 device, whose IP header is at the front, gets room for it first.
#[inline(always)]
pub fn frame(
    ctx: &TcContext,
    packet: &Packet,
    destination: &MacAddress,
    source: &MacAddress,
) -> Result<(), DropReason> {
    let protocol = if packet.is_v4() { ether::IPV4 } else { ether::IPV6 };
    let header =
        Header { destination: destination.octets, source: source.octets, protocol: protocol.to_be() };
    // SAFETY: no pointer into the packet is kept.
    if packet.l3 == 0 && unsafe { bpf_skb_change_head(ctx.skb.skb, ETHERNET_LEN as u32, 0) } != 0 {
        return Err(DropReason::Helper);
    }
    skb::store(ctx, 0, &header)
}

/// Gives the frame another destination, if it is another.
#[inline(always)]
pub fn readdress(ctx: &TcContext, destination: &MacAddress) -> Result<(), DropReason> {
    let present: [u8; 6] = skb::load(ctx, 0).ok_or(DropReason::Malformed)?;
    if present == destination.octets { Ok(()) } else { skb::store(ctx, 0, &destination.octets) }
}

/// Moves a frame through a container's veth pair into it.
#[inline(always)]
pub fn into_container(ctx: &TcContext, ifindex: u32, slot: u32, kind: TrafficKind) -> Verdict {
    count::received(ctx, slot, kind);
    skb::claim(ctx);
    skb::redirect_peer(ifindex)
}

/// Room for a question to the kernel.
#[btf_map]
static PARAMETERS: PerCpuArray<FibParams, 1> = PerCpuArray::new();

/// The way to an address outside.
pub struct Route {
    pub ifindex: u32,
    /// Whom to hand the packet to.
    pub next_hop: Address,
    pub uplink: &'static Uplink,
}

/// Why there is no way, or none for a packet of this size.
pub enum NoRoute {
    Refused(DropReason),
    /// The largest packet that would get through, in bytes.
    TooBig(u32),
}

impl From<DropReason> for NoRoute {
    #[inline(always)]
    fn from(reason: DropReason) -> Self {
        Self::Refused(reason)
    }
}

/// Asks the kernel for the way of a packet with these addresses. To the routing rules it came in by its network's bridge
/// device: a rule holds for a network, and that device alone forwards.
#[inline(always)]
pub fn route(
    ctx: &TcContext,
    packet: &Packet,
    network: &Network,
    source: &Address,
    destination: &Address,
) -> Result<Route, NoRoute> {
    let raw = skb::raw(ctx);
    let params = maps::own(&PARAMETERS, 0).ok_or(DropReason::Helper)?;
    // Of what is left from the question before, the kernel reads nothing: to zero it all would be a loop.
    (params.sport, params.dport) = (0, 0);
    params.__bindgen_anon_2.flowinfo = 0;
    params.l4_protocol = packet.protocol;
    params.ifindex = network.gateway_ifindex;
    // A GSO packet is cut later: its segments are compared below.
    params.__bindgen_anon_1.tot_len = if raw.gso_size == 0 { packet.total_len } else { 0 };
    if packet.is_v4() {
        params.family = AF_INET;
        params.__bindgen_anon_3.ipv4_src = source.v4_word();
        params.__bindgen_anon_4.ipv4_dst = destination.v4_word();
    } else {
        params.family = AF_INET6;
        params.__bindgen_anon_3.ipv6_src = source.by_words().words;
        params.__bindgen_anon_4.ipv6_dst = destination.by_words().words;
    }
    match look_up(ctx, params) as u32 {
        BPF_FIB_LKUP_RET_SUCCESS | BPF_FIB_LKUP_RET_NO_NEIGH => {}
        BPF_FIB_LKUP_RET_FRAG_NEEDED => {
            // SAFETY: with this outcome the kernel has written the route's MTU there.
            return Err(NoRoute::TooBig(u32::from(unsafe { params.__bindgen_anon_1.mtu_result })));
        }
        _ => return Err(DropReason::NoRoute.into()),
    }
    let ifindex = params.ifindex;
    let uplink = UPLINKS.find(&ifindex).ok_or(DropReason::NoUplink)?;
    let segment = packet.l4 - packet.l3 + u32::from(packet.tcp_len) + raw.gso_size;
    if raw.gso_size != 0 && packet.tcp_len != 0 && uplink.mtu != 0 && segment > uplink.mtu {
        return Err(NoRoute::TooBig(uplink.mtu));
    }
    // SAFETY: the kernel has written the next hop there, in the family that was asked for.
    let next_hop = unsafe {
        if packet.is_v4() {
            Address::v4(params.__bindgen_anon_4.ipv4_dst)
        } else {
            Address { words: params.__bindgen_anon_4.ipv6_dst }
        }
    };
    Ok(Route { ifindex, next_hop, uplink })
}

/// Asks the kernel, with the mark that another program may have given the packet.
#[inline(always)]
fn look_up(ctx: &TcContext, params: &mut FibParams) -> i64 {
    let size = size_of::<FibParams>() as i32;
    let mark = skb::raw(ctx).mark;
    if mark != 0 {
        let [a, b, c, d] = mark.to_ne_bytes();
        // It lies where the answer's hardware address is to come.
        params.smac = [a, b, c, d, 0, 0];
        // SAFETY: the helper reads and writes the structure alone.
        let outcome = unsafe { bpf_fib_lookup(ctx.skb.skb.cast(), params, size, LOOKUP_MARK) };
        if outcome != -EINVAL {
            return outcome;
        }
    }
    // SAFETY: as above.
    unsafe { bpf_fib_lookup(ctx.skb.skb.cast(), params, size, 0) }
}

/// Sends out of a device to a neighbour; the kernel finds its hardware address and writes the frame's header.
#[inline(always)]
pub fn out(packet: &Packet, ifindex: u32, next_hop: &Address) -> Verdict {
    let mut params = bpf_redir_neigh {
        nh_family: u32::from(if packet.is_v4() { AF_INET } else { AF_INET6 }),
        __bindgen_anon_1: bpf_redir_neigh__bindgen_ty_1 { ipv6_nh: next_hop.words },
    };
    if packet.is_v4() {
        params.__bindgen_anon_1.ipv4_nh = next_hop.v4_word();
    }
    let size = size_of::<bpf_redir_neigh>() as i32;
    // SAFETY: the helper reads the structure, and notes where the packet is to go.
    Ok(unsafe { bpf_redirect_neigh(ifindex, &mut params, size, 0) } as i32)
}
