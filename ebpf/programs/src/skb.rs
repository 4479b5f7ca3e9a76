//! Thin wrappers of the kernel's helpers for packets.

use core::mem::{MaybeUninit, size_of};

use aya_ebpf::{
    bindings::{__sk_buff, bpf_hdr_start_off::BPF_HDR_START_NET},
    helpers::{
        bpf_clone_redirect, bpf_l4_csum_replace, bpf_redirect, bpf_redirect_peer, bpf_skb_change_tail,
        bpf_skb_change_type, bpf_skb_load_bytes, bpf_skb_load_bytes_relative, bpf_skb_store_bytes,
    },
    programs::TcContext,
};
use beeline_abi::{Address, DropReason, ether};

/// What becomes of a packet: an action of TC, or why it is refused.
pub type Verdict = Result<i32, DropReason>;

/// The kind of a packet that is for this host.
pub const PACKET_HOST: u32 = 0;

/// Deliver to the device's own stack rather than send out of it.
pub const INGRESS: u64 = 1;

#[inline(always)]
pub fn raw(ctx: &TcContext) -> &__sk_buff {
    // SAFETY: the kernel hands each program its context, valid for the whole run.
    unsafe { &*ctx.skb.skb }
}

/// The device that the packet comes in or goes out by. A copy: the context itself is no key of a map.
#[inline(always)]
pub fn ifindex(ctx: &TcContext) -> u32 {
    raw(ctx).ifindex
}

/// A length that is no more than `most`; less one and one more, so that every verifier sees it is never zero.
#[inline(always)]
pub fn bounded(length: u32, most: u32) -> u32 {
    let but_one = length.wrapping_sub(1);
    (if but_one < most - 1 { but_one } else { most - 1 }) + 1
}

/// Whether the device's driver says that the packet is IPv4 or IPv6.
#[inline(always)]
pub fn is_ip(ctx: &TcContext) -> bool {
    let protocol = raw(ctx).protocol;
    protocol == u32::from(ether::IPV4.to_be()) || protocol == u32::from(ether::IPV6.to_be())
}

/// An IPv6 address in the packet.
#[inline(always)]
pub fn load_address(ctx: &TcContext, offset: u32) -> Option<Address> {
    load(ctx, offset).map(address)
}

#[inline(always)]
pub fn address(octets: [u8; 16]) -> Address {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
    let words = [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]];
    Address { words: words.map(u32::from_ne_bytes) }
}

/// Copies bytes of the packet, counted from its IP header; none when they do not lie in one piece, as they do in all that
/// comes from the stack.
#[inline(always)]
pub fn load_from_network<const N: usize>(ctx: &TcContext, offset: u32) -> Option<[u8; N]> {
    let mut bytes = MaybeUninit::<[u8; N]>::uninit();
    let to = bytes.as_mut_ptr().cast();
    // SAFETY: the helper writes N bytes to where N bytes are, or fails.
    unsafe {
        match bpf_skb_load_bytes_relative(ctx.skb.skb.cast(), offset, to, N as u32, BPF_HDR_START_NET) {
            0 => Some(bytes.assume_init()),
            _ => None,
        }
    }
}

/// Copies bytes of the packet; none when it ends before.
#[inline(always)]
pub fn load<const N: usize>(ctx: &TcContext, offset: u32) -> Option<[u8; N]> {
    let mut bytes = MaybeUninit::<[u8; N]>::uninit();
    // SAFETY: the helper writes N bytes to where N bytes are, or fails.
    unsafe {
        match bpf_skb_load_bytes(ctx.skb.skb.cast(), offset, bytes.as_mut_ptr().cast(), N as u32) {
            0 => Some(bytes.assume_init()),
            _ => None,
        }
    }
}

/// Writes into the packet; checksums are the caller's affair.
#[inline(always)]
pub fn store<T>(ctx: &TcContext, offset: u32, value: &T) -> Result<(), DropReason> {
    store_with(ctx, offset, value, 0)
}

/// Writes into the packet, with flags of the helper.
#[inline(always)]
pub fn store_with<T>(ctx: &TcContext, offset: u32, value: &T, flags: u64) -> Result<(), DropReason> {
    let from = core::ptr::from_ref(value).cast();
    // SAFETY: the helper reads as many bytes as the value has.
    match unsafe { bpf_skb_store_bytes(ctx.skb.skb, offset, from, size_of::<T>() as u32, flags) } {
        0 => Ok(()),
        _ => Err(DropReason::Helper),
    }
}

/// Adjusts a checksum of the transport layer.
#[inline(always)]
pub fn replace_check(ctx: &TcContext, offset: u32, from: u64, to: u64, flags: u64) -> Result<(), DropReason> {
    // SAFETY: the helper checks that the field is in the packet.
    match unsafe { bpf_l4_csum_replace(ctx.skb.skb, offset, from, to, flags) } {
        0 => Ok(()),
        _ => Err(DropReason::Helper),
    }
}

/// Gives the packet another length, cutting it or adding zeroes.
#[inline(always)]
pub fn resize(ctx: &TcContext, length: u32) -> Result<(), DropReason> {
    // SAFETY: no pointer into the packet is kept anywhere in these programs.
    match unsafe { bpf_skb_change_tail(ctx.skb.skb, length, 0) } {
        0 => Ok(()),
        _ => Err(DropReason::Helper),
    }
}

/// Makes the stack take the packet as one for this host, whatever its hardware address.
#[inline(always)]
pub fn claim(ctx: &TcContext) {
    if raw(ctx).pkt_type != PACKET_HOST {
        // SAFETY: changes a field of the socket buffer.
        unsafe { bpf_skb_change_type(ctx.skb.skb, PACKET_HOST) };
    }
}

/// Moves the packet to a device.
#[inline(always)]
pub fn redirect(ifindex: u32, flags: u64) -> Verdict {
    // SAFETY: notes where the packet is to go once the program has ended.
    Ok(unsafe { bpf_redirect(ifindex, flags) } as i32)
}

/// Moves the packet through a veth pair into the other end's network namespace.
#[inline(always)]
pub fn redirect_peer(ifindex: u32) -> Verdict {
    // SAFETY: as for [`redirect`].
    Ok(unsafe { bpf_redirect_peer(ifindex, 0) } as i32)
}

/// Sends a copy of the packet out of a device.
#[inline(always)]
pub fn copy_to(skb: *mut __sk_buff, ifindex: u32) {
    // SAFETY: the pointer is the program's context. A copy that is not made for want of memory is lost as on any network.
    unsafe { bpf_clone_redirect(skb, ifindex, 0) };
}
