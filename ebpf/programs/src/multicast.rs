//! What is sent to all of a network: the bridge has no ports, so each member gets its copy here.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_SHOT},
    helpers::bpf_loop,
    programs::TcContext,
};
use beeline_abi::{
    Address, Device, MemberKey, Network, PeerScope, TrafficClass, TrafficKind, icmpv6, ip, network_flags,
};

use crate::{
    count,
    maps::{GATEWAYS, MEMBERS, NETWORKS, Table as _},
    packet::Packet,
    skb::{self, INGRESS, Verdict},
};

/// One packet on its way to all members.
struct Flood {
    skb: *mut __sk_buff,
    network: u32,
    /// The sender's device.
    except: u32,
    /// What it counts as.
    kind: TrafficKind,
}

/// Whether this is an address of many.
#[inline(always)]
pub fn is_for_many(destination: &Address, network: &Network) -> bool {
    destination.is_multicast() || destination.is_v4() && *destination == network.subnet.last()
}

/// Whether a packet speaks of memberships in multicast groups: nobody here listens, as all members get everything.
#[inline(always)]
fn is_membership(packet: &Packet) -> bool {
    packet.protocol == ip::IGMP
        || packet.protocol == ip::ICMPV6
            && (matches!(packet.icmp, icmpv6::LISTENER_QUERY..=icmpv6::LISTENER_DONE)
                || packet.icmp == icmpv6::LISTENER_REPORT)
}

/// A container sends to many: the other members, if they may talk to each other, and the host.
#[inline(never)]
pub fn from_container(ctx: &TcContext, device: &Device, packet: &Packet, network: &Network) -> Verdict {
    if is_membership(packet) {
        return Ok(TC_ACT_SHOT);
    }
    if network.flags & network_flags::ICC != 0 {
        let kind = TrafficKind::new(TrafficClass::of(packet.protocol), PeerScope::Network);
        flood(ctx, device.network, network, skb::ifindex(ctx), kind);
    }
    skb::redirect(network.gateway_ifindex, INGRESS)
}

/// The host sends to many, out of a network's bridge device.
#[inline(always)]
pub fn from_host(ctx: &TcContext, kind: TrafficKind) -> Verdict {
    if let Some(id) = GATEWAYS.find(&skb::ifindex(ctx))
        && let Some(network) = NETWORKS.find(id)
    {
        flood(ctx, *id, network, 0, kind);
    }
    Ok(TC_ACT_SHOT)
}

#[inline(always)]
fn flood(ctx: &TcContext, id: u32, network: &Network, except: u32, kind: TrafficKind) {
    let mut flood = Flood { skb: ctx.skb.skb, network: id, except, kind };
    let callback: unsafe extern "C" fn(u32, *mut Flood) -> i64 = copy;
    // SAFETY: the callback gets the pointer it expects, to what outlives the loop.
    unsafe { bpf_loop(network.members, callback as *mut c_void, (&raw mut flood).cast(), 0) };
}

/// One copy; zero goes on.
unsafe extern "C" fn copy(position: u32, flood: *mut Flood) -> i64 {
    // SAFETY: see [`flood`].
    let flood = unsafe { &*flood };
    let key = MemberKey { network: flood.network, position };
    // A member that is going leaves its place to the last one for a moment.
    if let Some(member) = MEMBERS.find(&key)
        && member.ifindex != flood.except
    {
        count::received(&TcContext::new(flood.skb), member.slot, flood.kind);
        skb::copy_to(flood.skb, member.ifindex);
    }
    0
}
