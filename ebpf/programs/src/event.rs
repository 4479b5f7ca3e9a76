//! Telling the daemon what happens, through a ring buffer: as much as a budget allows, and what is lost is counted.

use core::mem::size_of;

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray, RingBuf},
    helpers::bpf_skb_load_bytes,
    macros::btf_map,
    programs::TcContext,
};
use beeline_abi::{
    BUDGET_WINDOW, Begun, Budget, DROPPED_FRONT, DropReason, Dropped, EVENT_BYTES, EventLoss, Listening,
    PortKey, drop_origin, event_kind, uplink_flags,
};

use crate::{
    conntrack::now,
    maps::{self, Table as _, UPLINKS},
    skb,
};

/// Who listens, and to what.
#[btf_map]
static LISTENING: Array<Listening, 1> = Array::new();

/// What is told.
#[btf_map]
static EVENTS: RingBuf<Dropped, { EVENT_BYTES as usize }> = RingBuf::new();

/// What could not be told, by [`EventLoss`].
#[btf_map]
static EVENT_LOSSES: PerCpuArray<u64, { EventLoss::CAPACITY as usize }> = PerCpuArray::new();

/// What each processor has told in this window: beginnings, and refusals.
#[btf_map]
static BUDGETS: PerCpuArray<Budget, 2> = PerCpuArray::new();

/// Room for what is told of a refusal: of a packet, and of a socket. Sockets' programs run with bottom halves enabled.
#[btf_map]
static REFUSALS: PerCpuArray<Dropped, 2> = PerCpuArray::new();

const FLOWS: u32 = 0;
const DROPS: u32 = 1;

const OF_PACKET: u32 = 0;
const OF_SOCKET: u32 = 1;

/// Whether anybody wants to know of conversations. One load while nobody does.
#[inline(always)]
pub fn is_listening() -> bool {
    LISTENING.get(0).is_some_and(|listening| listening.flows_until != 0 && now() < listening.flows_until)
}

/// Counts what cannot be told.
#[inline(always)]
pub fn lost(loss: EventLoss) {
    if let Some(counter) = maps::own(&EVENT_LOSSES, loss as u32) {
        *counter += 1;
    }
}

/// Whether one more may be told in this window.
#[inline(always)]
fn may_tell(what: u32, most: u32, now: u64) -> bool {
    let Some(budget) = maps::own(&BUDGETS, what) else { return false };
    let window = now / BUDGET_WINDOW;
    if budget.window != window {
        (budget.window, budget.used) = (window, 0);
    }
    budget.used += 1;
    budget.used <= u64::from(most)
}

/// Whether one more beginning may be told.
#[inline(always)]
pub fn may_tell_flow(now: u64) -> bool {
    let most = LISTENING.get(0).map_or(0, |listening| listening.flow_budget);
    may_tell(FLOWS, most, now)
}

/// Tells of a conversation.
#[inline(always)]
pub fn begun(event: &Begun) {
    if !output(event) {
        lost(EventLoss::FlowBuffer);
    }
}

/// Writes an event into the ring buffer; tells whether there was room.
#[inline(always)]
fn output<T>(event: &T) -> bool {
    EVENTS.output_untyped::<T>(event, 0).is_ok()
}

/// Room for a refusal, if it may be told.
#[inline(always)]
fn refusal(slot: u32, reason: DropReason, rule: u32) -> Option<&'static mut Dropped> {
    let listening = LISTENING.get(0)?;
    if listening.drops_until == 0 {
        return None;
    }
    let now = now();
    if now >= listening.drops_until {
        return None;
    }
    if !may_tell(DROPS, listening.drop_budget, now) {
        lost(EventLoss::DropRate);
        return None;
    }
    let event = maps::own(&REFUSALS, slot)?;
    (event.kind, event.reason, event.time, event.rule) = (event_kind::DROPPED, reason as u32, now, rule);
    Some(event)
}

/// Tells of a packet that was refused.
#[inline(never)]
pub fn packet_refused(ctx: &TcContext, reason: DropReason, rule: u32) {
    let Some(event) = refusal(OF_PACKET, reason, rule) else { return };
    let (ifindex, length) = (skb::ifindex(ctx), skb::raw(ctx).len);
    let is_bare = UPLINKS.find(&ifindex).is_some_and(|uplink| uplink.flags & uplink_flags::LAYER3 != 0);
    event.origin = if is_bare { drop_origin::PACKET } else { drop_origin::FRAME };
    (event.ifindex, event.length) = (ifindex, length);
    let held = skb::bounded(length, DROPPED_FRONT as u32);
    let to = (&raw mut event.front).cast();
    // SAFETY: there is room for as much.
    let is_loaded = unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), 0, to, held) } == 0;
    event.held = if is_loaded { held } else { 0 };
    if !output(event) {
        lost(EventLoss::DropBuffer);
    }
}

/// Tells of a socket of the host that may not reach what it asked for.
#[inline(always)]
pub fn socket_refused(asked: &PortKey, reason: DropReason, rule: u32) {
    let Some(event) = refusal(OF_SOCKET, reason, rule) else { return };
    (event.ifindex, event.length, event.origin) = (0, 0, drop_origin::SOCKET);
    event.held = size_of::<PortKey>() as u32;
    // SAFETY: the front has room for a key, wherever it begins.
    unsafe { (&raw mut event.front).cast::<PortKey>().write_unaligned(*asked) };
    if !output(event) {
        lost(EventLoss::DropBuffer);
    }
}
