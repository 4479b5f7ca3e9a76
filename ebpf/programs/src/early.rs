//! Later fragments that come before their first: nobody knows yet where they go.
//!
//! A program can neither hold a packet nor make one, but it can copy. What comes early is copied into a map. When the first
//! fragment comes, it lends its buffer: each that was kept is written into it, and a clone of that is queued at the device,
//! as if it came in only now; then the first is put back, and goes its way before them.
//!
//! Fragments of one packet come by one processor, by the hash of their addresses. Where they do not, two may take the same
//! place, and the packet is lost as any that misses a fragment.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_RECOMPUTE_CSUM},
    btf_maps::{LruHashMap, PerCpuArray},
    helpers::{bpf_clone_redirect, bpf_loop, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes},
    macros::btf_map,
    programs::TcContext,
};
use beeline_abi::{DropReason, FragmentKey};

use crate::{
    conntrack::now,
    fragment,
    maps::{self, Table as _},
    packet::Packet,
    skb::{self, INGRESS},
};

/// The longest frame that is kept: Ethernet's. What sends longer ones sends them in order, by few devices.
const LENGTH: u32 = 1514;

/// How many are kept of one packet: the largest there is has 45 fragments of that size.
const MOST: u32 = 64;

/// How long the kernel waits for the rest of a packet, in nanoseconds (`ipfrag_time`).
const PATIENCE: u64 = 30_000_000_000;

/// How many fragments of a packet are kept, and since when the last of them is.
#[repr(C)]
struct Waiting {
    since: u64,
    count: u64,
}

/// The place of a fragment among those of its packet.
#[repr(C)]
struct Place {
    whole: FragmentKey,
    number: u32,
}

/// A frame.
#[repr(C)]
struct Frame {
    length: u32,
    bytes: [u8; LENGTH as usize],
}

/// Some never get their first: the oldest may go.
#[btf_map]
static WAITING: LruHashMap<FragmentKey, Waiting, 1024> = LruHashMap::new();

#[btf_map]
static KEPT: LruHashMap<Place, Frame, 1024> = LruHashMap::new();

/// Room for what is put into the maps, or looked up: too much for the stack.
#[repr(C)]
struct Room {
    place: Place,
    frame: Frame,
}

#[btf_map]
static ROOM: PerCpuArray<Room, 1> = PerCpuArray::new();

/// What became of a fragment that came early.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is too long to be kept, or one of too many.
    Refused,
    /// A copy of it is kept.
    Kept,
    /// Its first came by meanwhile: it is to begin anew.
    Found,
}

/// Keeps a copy of a fragment whose first has not come yet.
#[inline(never)]
pub fn keep(ctx: &TcContext, packet: &Packet) -> Outcome {
    let Some(room) = maps::own(&ROOM, 0) else { return Outcome::Refused };
    let now = now();
    let fresh = WAITING.find(&packet.whole).filter(|waiting| now.wrapping_sub(waiting.since) < PATIENCE);
    let count = fresh.map_or(0, |waiting| waiting.count);
    if count >= u64::from(MOST) || !take(ctx, &mut room.frame) {
        return Outcome::Refused;
    }
    (room.place.whole, room.place.number) = (packet.whole, count as u32);
    if KEPT.insert(&room.place, &room.frame, 0).is_err()
        || WAITING.insert(&packet.whole, Waiting { since: now, count: count + 1 }, 0).is_err()
    {
        return Outcome::Refused;
    }
    // The first may have come by on another processor meanwhile, and have found nothing.
    if fragment::recall(packet).is_some() && KEPT.remove(&room.place).is_ok() {
        return Outcome::Found;
    }
    Outcome::Kept
}

/// Copies the packet; tells whether there was room for it.
#[inline(always)]
fn take(ctx: &TcContext, frame: &mut Frame) -> bool {
    let length = skb::bounded(skb::raw(ctx).len, LENGTH);
    frame.length = length;
    let to = (&raw mut frame.bytes).cast();
    // SAFETY: there is room for as much.
    let taken = unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), 0, to, length) };
    taken == 0 && length == skb::raw(ctx).len
}

/// A first fragment has come that goes to the stack, which has those that came early itself.
#[inline(always)]
pub fn forget(packet: &Packet) {
    let _ = WAITING.remove(&packet.whole);
}

/// A first fragment has come: those of its packet that came before it follow it.
#[inline(never)]
pub fn release(ctx: &TcContext, packet: &Packet) -> Result<(), DropReason> {
    let Some(waiting) = WAITING.find(&packet.whole) else { return Ok(()) };
    let is_fresh = now().wrapping_sub(waiting.since) < PATIENCE;
    let count = waiting.count as u32;
    forget(packet);
    let room = maps::own(&ROOM, 0).ok_or(DropReason::Helper)?;
    if !is_fresh || !take(ctx, &mut room.frame) {
        return Ok(());
    }
    room.place.whole = packet.whole;
    let mut lent = Lent { skb: ctx.skb.skb, ifindex: skb::ifindex(ctx) };
    let callback: unsafe extern "C" fn(u32, *mut Lent) -> i64 = queue;
    // SAFETY: the callback gets the pointer it expects, to what outlives the loop.
    unsafe { bpf_loop(count, callback as *mut c_void, (&raw mut lent).cast(), 0) };
    if write(lent.skb, &room.frame) { Ok(()) } else { Err(DropReason::Helper) }
}

/// The buffer of a first fragment.
struct Lent {
    skb: *mut __sk_buff,
    ifindex: u32,
}

/// Queues one that was kept; zero goes on.
unsafe extern "C" fn queue(number: u32, lent: *mut Lent) -> i64 {
    // SAFETY: see [`release`].
    let lent = unsafe { &*lent };
    let Some(room) = maps::own(&ROOM, 0) else { return 1 };
    room.place.number = number;
    // One that had to go for others is missing: the packet is lost.
    let Some(frame) = KEPT.find(&room.place) else { return 0 };
    if write(lent.skb, frame) {
        // SAFETY: the pointer is the program's context; no pointer into the packet is kept anywhere in these programs.
        unsafe { bpf_clone_redirect(lent.skb, lent.ifindex, INGRESS) };
    }
    let _ = KEPT.remove(&room.place);
    0
}

/// Makes the packet this one.
#[inline(always)]
fn write(skb: *mut __sk_buff, frame: &Frame) -> bool {
    let length = skb::bounded(frame.length, LENGTH);
    let from = (&raw const frame.bytes).cast();
    // SAFETY: no pointer into the packet is kept anywhere in these programs; as many bytes lie there.
    unsafe {
        bpf_skb_change_tail(skb, length, 0) == 0
            && bpf_skb_store_bytes(skb, 0, from, length, u64::from(BPF_F_RECOMPUTE_CSUM)) == 0
    }
}
