//! Counters and the log of what was refused.

use aya_ebpf::{bindings::TC_ACT_SHOT, programs::TcContext};
use aya_log_ebpf::debug;
use beeline_abi::{DropReason, MAX_RULES, Rule, TrafficKind, Volume};

use crate::{
    event,
    maps::{self, DROPS, ENDPOINT_COUNTERS, PUBLISH_COUNTERS, RULE_COUNTERS, TRAFFIC},
    scratch,
    skb::{self, Verdict},
};

/// Bytes and packets of a packet: one of GSO counts its segments.
#[inline(always)]
pub fn volume(ctx: &TcContext) -> Volume {
    let raw = skb::raw(ctx);
    let packets = if raw.gso_segs > 1 { raw.gso_segs } else { 1 };
    Volume { bytes: u64::from(raw.len), packets: u64::from(packets) }
}

/// Turns an outcome into an action, counting a refusal.
#[inline(always)]
pub fn verdict(ctx: &TcContext, outcome: Verdict) -> i32 {
    match outcome {
        Ok(action) => action,
        Err(reason) => {
            refused(ctx, reason);
            TC_ACT_SHOT
        }
    }
}

/// Counts a refusal, or a thing worth counting.
#[inline(always)]
pub fn refused(ctx: &TcContext, reason: DropReason) {
    dropped(reason);
    let rule = match reason {
        DropReason::Denied => scratch::get().map_or(MAX_RULES, |scratch| scratch.denied_by),
        _ => MAX_RULES,
    };
    event::packet_refused(ctx, reason, rule);
    debug!(ctx, "device {}: refused a packet, reason {}", skb::ifindex(ctx), reason as u32);
}

/// Counts a refusal by its reason alone, where there is no socket buffer.
#[inline(always)]
pub fn dropped(reason: DropReason) {
    if let Some(counter) = maps::own(&DROPS, reason as u32) {
        *counter += 1;
    }
}

/// Counts a hit of a rule.
#[inline(always)]
pub fn hit(rule: &Rule) {
    if let Some(counter) = maps::own(&RULE_COUNTERS, rule.counter) {
        *counter += 1;
    }
}

/// Counts a source that may not reach a published port.
#[inline(always)]
pub fn denied(slot: u32) {
    if let Some(counters) = maps::own(&PUBLISH_COUNTERS, slot) {
        counters.refused += 1;
    }
}

/// The index of a kind, read back so that the compiler forgets what the verifier does not know: that it is within bounds.
#[inline(always)]
fn index(kind: TrafficKind) -> usize {
    let index = kind.index() as u64;
    // SAFETY: reads a local.
    unsafe { core::ptr::read_volatile(&index) as usize }
}

/// Counts a packet that a container sent.
#[inline(always)]
pub fn sent(slot: u32, kind: TrafficKind, volume: Volume) {
    if let Some(traffic) = maps::own(&TRAFFIC, slot) {
        if let Some(sent) = traffic.sent.get_mut(index(kind)) {
            *sent += volume;
        }
    } else if let Some(counters) = maps::own(&ENDPOINT_COUNTERS, slot) {
        counters.tx_bytes += volume.bytes;
        counters.tx_packets += volume.packets;
    }
}

/// Counts a packet that a container sent and that is refused: whom it was to is not known of all.
#[inline(always)]
pub fn sent_in_vain(slot: u32, volume: Volume) {
    if let Some(counters) = maps::own(&ENDPOINT_COUNTERS, slot) {
        counters.tx_bytes += volume.bytes;
        counters.tx_packets += volume.packets;
        counters.tx_dropped += volume.packets;
    }
}

/// Counts a packet that a container gets.
#[inline(always)]
pub fn received(ctx: &TcContext, slot: u32, kind: TrafficKind) {
    let volume = volume(ctx);
    if let Some(traffic) = maps::own(&TRAFFIC, slot) {
        if let Some(received) = traffic.received.get_mut(index(kind)) {
            *received += volume;
        }
    } else if let Some(counters) = maps::own(&ENDPOINT_COUNTERS, slot) {
        counters.rx_bytes += volume.bytes;
        counters.rx_packets += volume.packets;
    }
}

/// Counts a packet towards a published port.
#[inline(always)]
pub fn published(ctx: &TcContext, slot: u32) {
    let Volume { bytes, packets } = volume(ctx);
    if let Some(counters) = maps::own(&PUBLISH_COUNTERS, slot) {
        counters.bytes += bytes;
        counters.packets += packets;
    }
}

/// Counts a flow through a published port.
#[inline(always)]
pub fn connected(slot: u32) {
    if let Some(counters) = maps::own(&PUBLISH_COUNTERS, slot) {
        counters.connections += 1;
    }
}
