//! Connection tracking: finding, refreshing and making flows. The layout and the states are `beeline_abi`'s.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::bpf_ktime_get_coarse_ns,
};
use beeline_abi::{
    Direction, DropReason, Endpoint, Flow, FlowKind, NO_PUBLISH, PeerScope, Side, Tuple, ip, tcp_bits,
};

use crate::{
    count,
    maps::{ENDPOINTS, FLOWS, NETWORK_FLOWS, NETWORKS, PUBLISHES, Table as _},
    packet::{ACK, FIN, Packet, RST, SYN, Transport},
    scratch::Scratch,
};

/// The negative errno of an insertion that found the key taken.
pub const EEXIST: i32 = -17;

/// The flow of a packet towards a container, and where it leads.
pub struct Inbound {
    /// The flow as the container sees it; lies in the map.
    pub inside: &'static Tuple,
    pub endpoint: &'static Endpoint,
    /// The publish's slot, or [`NO_PUBLISH`].
    pub publish: u32,
}

/// The flow of a packet away from a container.
pub struct Outbound {
    /// The flow as the other end sees it; lies in the map.
    pub wire: &'static Tuple,
    /// A [`FlowKind`].
    pub kind: u8,
}

impl Outbound {
    /// With whom the container has to do, if that is somebody outside.
    #[inline(always)]
    pub fn peer(&self) -> PeerScope {
        if self.kind == FlowKind::Published as u8 { PeerScope::Published } else { PeerScope::Outside }
    }
}

/// Finds the flow of a packet towards a container by its wire tuple. A flow whose publish or endpoint has changed is
/// forgotten.
#[inline(always)]
pub fn inbound(packet: &Packet, wire: &Tuple) -> Option<Inbound> {
    let stub = FLOWS.find(wire)?;
    let Some(flow) = FLOWS.find_mut(&stub.counterpart) else {
        let _ = FLOWS.remove(wire);
        return None;
    };
    let endpoint = ENDPOINTS.find(&stub.counterpart.local);
    let Some(endpoint) = endpoint.filter(|endpoint| is_alive(flow, endpoint.generation)) else {
        let _ = FLOWS.remove(&stub.counterpart);
        let _ = FLOWS.remove(wire);
        return None;
    };
    touch(flow, packet, Direction::In);
    Some(Inbound { inside: &stub.counterpart, endpoint, publish: flow.publish })
}

/// Finds the flow of a packet away from the container of this generation by its inside tuple.
#[inline(always)]
pub fn outbound(packet: &Packet, inside: &Tuple, generation: u32) -> Option<Outbound> {
    let flow = FLOWS.find_mut(inside)?;
    if !is_alive(flow, generation) {
        let _ = FLOWS.remove(&flow.counterpart);
        let _ = FLOWS.remove(inside);
        return None;
    }
    touch(flow, packet, Direction::Out);
    Some(Outbound { wire: &flow.counterpart, kind: flow.kind })
}

/// Deletes the flow of a network that a container's packet belongs to. Rare: its tuple takes no room of the caller's stack.
#[inline(never)]
pub fn forget(packet: &Packet, network: u32) {
    let inside = packet.outbound(Side::Inside);
    let Some(flow) = FLOWS.find(&inside) else { return };
    let _ = FLOWS.remove(&flow.counterpart);
    if FLOWS.remove(&inside).is_ok() {
        count_flow(network, -1);
    }
}

/// Whether the flow's endpoint, whose generation is now this, and its publish are those it was made for.
#[inline(always)]
fn is_alive(flow: &Flow, generation: u32) -> bool {
    if generation != flow.endpoint_generation {
        return false;
    }
    if flow.publish == NO_PUBLISH {
        return true;
    }
    PUBLISHES.get(flow.publish).is_some_and(|publish| publish.generation == flow.publish_generation)
}

/// Monotonic nanoseconds, coarse.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: reads a clock.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// Notes that a packet was seen. Writes as little as it can: flows are shared between processors.
#[inline(always)]
fn touch(flow: &mut Flow, packet: &Packet, direction: Direction) {
    let now = now();
    if now.wrapping_sub(flow.last_seen) > Flow::GRANULARITY {
        flow.last_seen = now;
    }
    if packet.protocol != ip::TCP || packet.transport != Transport::Header {
        return;
    }
    if packet.tcp & RST != 0 {
        flow.reset = 1;
        return;
    }
    if packet.opens() && flow.is_closing() {
        (flow.seen_out, flow.seen_in) = (0, 0);
        if flow.publish != NO_PUBLISH {
            count::connected(flow.publish);
        }
    }
    if flow.reset != 0 {
        flow.reset = 0;
    }
    let seen = seen(packet.tcp);
    let state = match direction {
        Direction::Out => &mut flow.seen_out,
        Direction::In => &mut flow.seen_in,
    };
    if *state & seen != seen {
        *state |= seen;
    }
}

/// The bits of a segment's flags that a flow remembers.
#[inline(always)]
fn seen(flags: u8) -> u8 {
    let bit = |flag: u8, bit: u8| if flags & flag != 0 { bit } else { 0 };
    bit(SYN, tcp_bits::SYN) | bit(ACK, tcp_bits::ACK) | bit(FIN, tcp_bits::FIN)
}

/// Fills in the tracking entry of a new flow and its stub; both keys are set already. A segment that opens nothing
/// belongs to a connection older than its entry, which starts out established.
#[inline(always)]
pub fn begin(scratch: &mut Scratch, packet: &Packet, direction: Direction, kind: FlowKind, generation: u32) {
    let now = now();
    let empty = Flow {
        counterpart: scratch.wire,
        last_seen: now,
        publish: NO_PUBLISH,
        publish_generation: 0,
        endpoint_generation: generation,
        kind: kind as u8,
        seen_out: 0,
        seen_in: 0,
        reset: 0,
    };
    scratch.flow = empty;
    scratch.stub = empty;
    scratch.stub.counterpart = scratch.inside;
    scratch.stub.kind = FlowKind::Stub as u8;
    if packet.protocol != ip::TCP || packet.transport != Transport::Header {
        return;
    }
    if !packet.opens() {
        (scratch.flow.seen_out, scratch.flow.seen_in) = (tcp_bits::ACK, tcp_bits::ACK);
    }
    match direction {
        Direction::Out => scratch.flow.seen_out |= seen(packet.tcp),
        Direction::In => scratch.flow.seen_in |= seen(packet.tcp),
    }
}

/// Whether the network of a new flow may have one more.
#[inline(always)]
pub fn admit(network: u32) -> Result<(), DropReason> {
    let known = NETWORKS.find(&network).ok_or(DropReason::NoEndpoint)?;
    match NETWORK_FLOWS.find(&network) {
        Some(flows) if *flows >= i64::from(known.flow_quota) => Err(DropReason::FlowQuota),
        _ => Ok(()),
    }
}

/// Counts a flow that was made, or deleted, for its network. When two processors do so at once, one may be lost: Rust has
/// no atomic addition for this target, and the daemon counts anew at each collection.
#[inline(always)]
pub fn count_flow(network: u32, change: i64) {
    if let Some(flows) = NETWORK_FLOWS.find_mut(&network) {
        *flows += change;
    }
}

/// Inserts the tracking entry, unless there is one.
#[inline(always)]
pub fn track(scratch: &Scratch) -> Result<(), i32> {
    FLOWS.insert(&scratch.inside, &scratch.flow, u64::from(BPF_NOEXIST))?;
    count_flow(scratch.network, 1);
    Ok(())
}

/// Inserts the stub of the tracking entry that is in the table; failing, takes the entry out again.
#[inline(always)]
pub fn lead(scratch: &mut Scratch) -> Result<(), DropReason> {
    scratch.stub.counterpart = scratch.inside;
    if FLOWS.insert(&scratch.wire, &scratch.stub, u64::from(BPF_ANY)).is_err() {
        let _ = FLOWS.remove(&scratch.inside);
        count_flow(scratch.network, -1);
        return Err(DropReason::FlowsExhausted);
    }
    Ok(())
}
