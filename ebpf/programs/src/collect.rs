//! Deleting flows that are over: the daemon judges, this program acts, and only if nothing was seen meanwhile.

use core::mem::size_of;

use aya_ebpf::programs::TcContext;
use beeline_abi::{ETHERNET_LEN, Expired, MAX_EXPIRED_PER_RUN, Side};

use crate::{
    conntrack,
    maps::{ENDPOINTS, FLOWS, Table as _},
    skb,
};

/// The "packet" is a list of candidates after room for an Ethernet header; returns how many flows were deleted.
#[inline(always)]
pub fn expire(ctx: &TcContext) -> i32 {
    let mut deleted = 0;
    for index in 0..MAX_EXPIRED_PER_RUN {
        let offset = ETHERNET_LEN as u32 + index * size_of::<Expired>() as u32;
        let Some(bytes) = skb::load::<{ size_of::<Expired>() }>(ctx, offset) else { break };
        // SAFETY: of integers only, without padding, and of this size.
        let candidate: Expired = unsafe { core::mem::transmute(bytes) };
        if expire_one(&candidate) {
            deleted += 1;
        }
    }
    deleted
}

#[inline(always)]
fn expire_one(candidate: &Expired) -> bool {
    let Some(flow) = FLOWS.find(&candidate.tuple) else { return false };
    if flow.last_seen != candidate.last_seen {
        return false;
    }
    // The stub first: a packet that finds neither makes the flow anew, one that finds only a stub would have to
    // clean up.
    if candidate.tuple.is(Side::Inside) {
        let wire = flow.counterpart;
        if is_stub_of(&wire, candidate) {
            let _ = FLOWS.remove(&wire);
        }
    }
    let is_deleted = FLOWS.remove(&candidate.tuple).is_ok();
    if is_deleted && let Some(endpoint) = ENDPOINTS.find(&candidate.tuple.local) {
        conntrack::count_flow(endpoint.network, -1);
    }
    is_deleted
}

/// Whether the wire tuple still leads to this tracking entry: another flow may have taken the port since.
#[inline(always)]
fn is_stub_of(wire: &beeline_abi::Tuple, candidate: &Expired) -> bool {
    FLOWS.find(wire).is_some_and(|stub| stub.counterpart == candidate.tuple)
}
