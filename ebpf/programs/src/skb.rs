//! Thin wrappers of the kernel's helpers for packets.

use core::mem::{MaybeUninit, size_of};

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{
        bpf_l4_csum_replace, bpf_redirect, bpf_redirect_peer, bpf_skb_change_type, bpf_skb_load_bytes,
        bpf_skb_store_bytes,
    },
    programs::TcContext,
};
use beeline_abi::DropReason;

/// What becomes of a packet: an action of TC, or why it is refused.
pub type Verdict = Result<i32, DropReason>;

/// The kind of a packet that is for this host.
pub const PACKET_HOST: u32 = 0;

/// Deliver to the device's own stack rather than send out of it.
pub const INGRESS: u64 = 1;

#[inline(always)]
pub fn raw(ctx: &TcContext) -> &__sk_buff {
    unsafe { &*ctx.skb.skb }
}

/// Writes bytes to the scratch pad that each program has in the socket buffer, and reads them back.
#[inline(always)]
pub fn through_pad(ctx: &TcContext, bytes: [u8; 4]) -> [u8; 4] {
    let pad = unsafe { &raw mut (*ctx.skb.skb).cb[0] };
    unsafe {
        pad.write_volatile(u32::from_ne_bytes(bytes));
        pad.read_volatile().to_ne_bytes()
    }
}

/// Copies bytes of the packet; none when it ends before.
#[inline(always)]
pub fn load<const N: usize>(ctx: &TcContext, offset: u32) -> Option<[u8; N]> {
    let mut bytes = MaybeUninit::<[u8; N]>::uninit();
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
    let from = core::ptr::from_ref(value).cast();
    match unsafe { bpf_skb_store_bytes(ctx.skb.skb, offset, from, size_of::<T>() as u32, 0) } {
        0 => Ok(()),
        _ => Err(DropReason::Helper),
    }
}

/// Adjusts a checksum of the transport layer.
#[inline(always)]
pub fn replace_check(ctx: &TcContext, offset: u32, from: u64, to: u64, flags: u64) -> Result<(), DropReason> {
    match unsafe { bpf_l4_csum_replace(ctx.skb.skb, offset, from, to, flags) } {
        0 => Ok(()),
        _ => Err(DropReason::Helper),
    }
}

/// Makes the stack take the packet as one for this host, whatever its hardware address.
#[inline(always)]
pub fn claim(ctx: &TcContext) {
    if raw(ctx).pkt_type != PACKET_HOST {
        unsafe { bpf_skb_change_type(ctx.skb.skb, PACKET_HOST) };
    }
}

/// Moves the packet to a device.
#[inline(always)]
pub fn redirect(ifindex: u32, flags: u64) -> Verdict {
    Ok(unsafe { bpf_redirect(ifindex, flags) } as i32)
}

/// Moves the packet through a veth pair into the other end's network namespace.
#[inline(always)]
pub fn redirect_peer(ifindex: u32) -> Verdict {
    Ok(unsafe { bpf_redirect_peer(ifindex, 0) } as i32)
}
