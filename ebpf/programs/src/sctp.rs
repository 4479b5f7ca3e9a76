//! Rewriting the ports of SCTP: its checksum covers them, and no addresses.

use core::{ffi::c_void, ptr};

use aya_ebpf::{btf_maps::PerCpuArray, helpers::bpf_loop, macros::btf_map, programs::TcContext};
use beeline_abi::{DropReason, Ports, SctpChange};

use crate::{maps, packet::Packet, skb};

/// Where the checksum lies behind the ports.
const CHECK: u32 = 8;

#[btf_map]
static CHANGE: PerCpuArray<SctpChange, 1> = PerCpuArray::new();

/// Gives the packet other ports.
#[inline(always)]
pub fn translate(ctx: &TcContext, packet: &Packet, ports: Ports) -> Result<(), DropReason> {
    let (old, new) = (packet.ports.word(), ports.word());
    if old == new {
        return Ok(());
    }
    skb::store(ctx, packet.l4, &new)?;
    let field = skb::load(ctx, packet.l4 + CHECK).ok_or(DropReason::Malformed)?;
    let field = u32::from_ne_bytes(field);
    if field == 0 {
        // Filled in later, by the device or the kernel (CHECKSUM_PARTIAL).
        return Ok(());
    }
    let change = maps::own(&CHANGE, 0).ok_or(DropReason::Helper)?;
    *change = SctpChange::new(old, new, packet.total_len.wrapping_sub((packet.l4 - packet.l3) as u16));
    // Not a loop of ours: the verifier would walk through each of its turns.
    let callback: extern "C" fn(u32, *mut c_void) -> i64 = step;
    // SAFETY: the callback takes what `bpf_loop` hands over, and uses none of it.
    unsafe { bpf_loop(SctpChange::STEPS, callback as *mut c_void, ptr::null_mut(), 0) };
    skb::store(ctx, packet.l4 + CHECK, &change.apply(field))
}

/// One step; zero goes on.
extern "C" fn step(number: u32, _: *mut c_void) -> i64 {
    let Some(change) = maps::own(&CHANGE, 0) else { return 1 };
    change.step(number);
    0
}
