//! The guard at an uplink: what comes from a source that the daemon denies is dropped before the kernel makes a socket
//! buffer of it. What the guard does not understand is for others to judge.

use core::mem::size_of;

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS},
    btf_maps::lpm_trie::Key,
    programs::XdpContext,
};
use beeline_abi::{DropReason, ETHERNET_LEN, Ipv4Header, Ipv6Header, PolicyKey, action, ether, uplink_flags};

use crate::{
    count,
    maps::{GUARD, Table as _, UPLINKS},
};

/// Bytes of a VLAN tag.
const TAG_LEN: usize = 4;

/// A frame has at most a service provider's tag and a customer's.
const MAX_TAGS: usize = 2;

#[inline(always)]
pub fn judge(ctx: &XdpContext) -> u32 {
    let Some(source) = source(ctx) else { return XDP_PASS };
    let Some(rule) = GUARD.get(&Key::new(PolicyKey::FULL, source)) else { return XDP_PASS };
    if rule.action != action::DENY {
        return XDP_PASS;
    }
    count::hit(rule);
    count::dropped(DropReason::Denied);
    XDP_DROP
}

/// Copies a part of the frame; none when the frame, or its first buffer, ends before. A part is more than one byte: of a
/// single one the compiler makes a comparison that the verifier does not understand.
#[inline(always)]
fn load<T: Copy>(ctx: &XdpContext, offset: usize) -> Option<T> {
    let start = ctx.data() + offset;
    if start + size_of::<T>() > ctx.data_end() {
        return None;
    }
    // SAFETY: these bytes lie within the frame, and any bytes are a value of the integers that are asked for.
    Some(unsafe { (start as *const T).read_unaligned() })
}

/// The source of an IP packet, tagged or not.
#[inline(always)]
fn source(ctx: &XdpContext) -> Option<PolicyKey> {
    let uplink = UPLINKS.find(&(ctx.ingress_ifindex() as u32))?;
    if uplink.flags & uplink_flags::LAYER3 != 0 {
        // No header says which family it is but its own.
        return source_v4(ctx, 0).or_else(|| source_v6(ctx, 0));
    }
    let mut l3 = ETHERNET_LEN;
    for _ in 0..=MAX_TAGS {
        match u16::from_be(load(ctx, l3 - size_of::<u16>())?) {
            ether::IPV4 => return source_v4(ctx, l3),
            ether::IPV6 => return source_v6(ctx, l3),
            ether::VLAN | ether::SERVICE_VLAN => l3 += TAG_LEN,
            _ => return None,
        }
    }
    None
}

#[inline(always)]
fn source_v4(ctx: &XdpContext, l3: usize) -> Option<PolicyKey> {
    let header = Ipv4Header::parse(&load(ctx, l3)?)?;
    Some(PolicyKey::new(PolicyKey::GUARD_V4, header.source_address()))
}

#[inline(always)]
fn source_v6(ctx: &XdpContext, l3: usize) -> Option<PolicyKey> {
    let header = Ipv6Header::parse(&load(ctx, l3)?)?;
    Some(PolicyKey::new(PolicyKey::GUARD_V6, header.source))
}
