//! Counters and the log of what was refused.

use aya_ebpf::{bindings::TC_ACT_SHOT, programs::TcContext};
use aya_log_ebpf::debug;
use beeline_abi::{DropReason, Rule};

use crate::{
    maps::{self, DROPS, ENDPOINT_COUNTERS, PUBLISH_COUNTERS, RULE_COUNTERS},
    skb::{self, Verdict},
};

/// Bytes and packets of a packet: one of GSO counts its segments.
#[inline(always)]
fn size(ctx: &TcContext) -> (u64, u64) {
    let raw = skb::raw(ctx);
    let packets = if raw.gso_segs > 1 { raw.gso_segs } else { 1 };
    (u64::from(raw.len), u64::from(packets))
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

/// Counts a packet that a container sent.
#[inline(always)]
pub fn sent(ctx: &TcContext, slot: u32, is_refused: bool) {
    let (bytes, packets) = size(ctx);
    if let Some(counters) = maps::own(&ENDPOINT_COUNTERS, slot) {
        if is_refused {
            counters.tx_dropped += packets;
        } else {
            counters.tx_bytes += bytes;
            counters.tx_packets += packets;
        }
    }
}

/// Counts a packet that a container gets.
#[inline(always)]
pub fn received(ctx: &TcContext, slot: u32) {
    let (bytes, packets) = size(ctx);
    if let Some(counters) = maps::own(&ENDPOINT_COUNTERS, slot) {
        counters.rx_bytes += bytes;
        counters.rx_packets += packets;
    }
}

/// Counts a packet towards a published port.
#[inline(always)]
pub fn published(ctx: &TcContext, slot: u32) {
    let (bytes, packets) = size(ctx);
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
