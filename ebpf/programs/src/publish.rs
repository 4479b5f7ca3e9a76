//! Published ports: from a port of the host to a port of a container.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    btf_maps::lpm_trie::Key,
    helpers::{bpf_get_prandom_u32, bpf_loop},
    programs::TcContext,
};
use beeline_abi::{
    Address, Direction, DropReason, Endpoint, FlowKind, PortKey, Publish, Side, Tuple, device_flags,
};

use crate::{
    conntrack::{self, EEXIST},
    count, log,
    maps::{DEVICES, ENDPOINTS, FLOWS, PORTS, PUBLISHES, Table as _},
    packet::Packet,
    policy::{self, Client},
    scratch::{self, CLAIMED, FULL, NOT_FOUND, Scratch},
};

/// How many other source ports a client's flow may try when its own is taken inside.
const SOURCE_TRIES: u32 = 16;

/// What a port of the host leads to.
#[derive(Clone, Copy)]
pub struct Target {
    pub slot: u32,
    pub publish: &'static Publish,
    /// The container's port.
    pub port: u16,
}

/// Finds what a port leads to: a publish of this very address goes before one of all addresses of
/// its family.
#[inline(always)]
pub fn find(address: &Address, protocol: u8, port: u16) -> Option<Target> {
    let any = if address.is_v4() { &Address::ANY_V4 } else { &Address::ANY_V6 };
    lookup(address, protocol, port).or_else(|| lookup(any, protocol, port))
}

#[inline(always)]
fn lookup(address: &Address, protocol: u8, port: u16) -> Option<Target> {
    let key = Key::new(PortKey::FULL, PortKey::new(*address, protocol, port));
    let slot = *PORTS.get(&key)?;
    let publish = PUBLISHES.get(slot)?;
    if publish.used == 0 {
        return None;
    }
    let port = publish.container_port(port)?;
    Some(Target { slot, publish, port })
}

/// Makes the flow of a packet to a published port and returns how its container sees it, with the endpoint. None when
/// the container is not there.
///
/// The client's address and port stay as they are. Its port changes only when the same client already talks to the
/// same container through another publish from the same port, and its address only when the client is that very
/// container: then `gateway` stands in, as nothing would come back otherwise.
#[inline(always)]
pub fn open(
    ctx: &TcContext,
    packet: &Packet,
    wire: &Tuple,
    target: Target,
    kind: FlowKind,
    gateway: Option<&Address>,
) -> Result<Option<(&'static Tuple, &'static Endpoint)>, DropReason> {
    let Some(endpoint) = ENDPOINTS.find(&target.publish.container) else { return Ok(None) };
    let scratch = scratch::get()?;
    if let Err(rule) = policy::admit(&target, &wire.remote, Client::Packet) {
        scratch.denied_by = rule;
        return Err(DropReason::Denied);
    }
    conntrack::admit(endpoint.network)?;
    scratch.network = endpoint.network;
    scratch.wire = *wire;
    scratch.inside = *wire;
    scratch.inside.side = Side::Inside as u8;
    scratch.inside.local = target.publish.container;
    scratch.inside.local_port = target.port;
    if let Some(gateway) = gateway {
        scratch.inside.remote = *gateway;
    }
    conntrack::begin(scratch, packet, Direction::In, kind, endpoint.generation);
    scratch.flow.publish = target.slot;
    scratch.flow.publish_generation = target.publish.generation;
    track(scratch)?;
    conntrack::lead(scratch)?;
    count::connected(target.slot);
    log::published(ctx, scratch);
    Ok(Some((&scratch.inside, endpoint)))
}

/// Makes the flow of a packet from the host's loopback address to a container, and returns how the container sees it:
/// the gateway in place of the loopback.
#[inline(always)]
pub fn open_from_loopback(
    packet: &Packet,
    wire: &Tuple,
    endpoint: &Endpoint,
    gateway: &Address,
) -> Result<&'static Tuple, DropReason> {
    conntrack::admit(endpoint.network)?;
    let scratch = scratch::get()?;
    scratch.network = endpoint.network;
    scratch.wire = *wire;
    scratch.inside = *wire;
    scratch.inside.side = Side::Inside as u8;
    scratch.inside.remote = *gateway;
    conntrack::begin(scratch, packet, Direction::In, FlowKind::Loopback, endpoint.generation);
    track(scratch)?;
    conntrack::lead(scratch)?;
    raise_local_nat(&wire.local);
    Ok(&scratch.inside)
}

/// From now on packets of, and to, this endpoint may belong to a translated flow within the host. Only ever raised.
#[inline(always)]
pub fn raise_local_nat(address: &Address) {
    if let Some(endpoint) = ENDPOINTS.find_mut(address)
        && endpoint.flags & device_flags::LOCAL_NAT == 0
    {
        endpoint.flags |= device_flags::LOCAL_NAT;
        if let Some(device) = DEVICES.find_mut(&endpoint.ifindex) {
            device.flags |= device_flags::LOCAL_NAT;
        }
    }
}

/// Inserts the tracking entry, with another remote port when the flow's own is taken.
#[inline(always)]
fn track(scratch: &mut Scratch) -> Result<(), DropReason> {
    claim(scratch);
    if scratch.outcome == NOT_FOUND {
        // Not a loop of ours: the verifier would walk through each of its turns.
        let callback: extern "C" fn(u32, *mut c_void) -> i64 = try_source;
        // SAFETY: the callback takes what `bpf_loop` hands over, and uses none of it.
        unsafe { bpf_loop(SOURCE_TRIES, callback as *mut c_void, ptr::null_mut(), 0) };
    }
    match scratch.outcome {
        CLAIMED => Ok(()),
        FULL => Err(DropReason::FlowsExhausted),
        _ => Err(DropReason::PortsExhausted),
    }
}

/// Tries one other remote port; zero goes on.
extern "C" fn try_source(_: u32, _: *mut c_void) -> i64 {
    let Ok(scratch) = scratch::get() else { return 1 };
    // SAFETY: makes a number.
    scratch.inside.remote_port = 1024 + (unsafe { bpf_get_prandom_u32() } % 64512) as u16;
    claim(scratch);
    i64::from(scratch.outcome != NOT_FOUND)
}

/// Inserts the tracking entry as it is, and notes the outcome.
#[inline(always)]
fn claim(scratch: &mut Scratch) {
    scratch.outcome = match conntrack::track(scratch) {
        Ok(()) => CLAIMED,
        Err(EEXIST) => match FLOWS.find(&scratch.inside) {
            // Another processor has made this very flow, or its stub was lost.
            Some(existing) if existing.counterpart == scratch.wire => CLAIMED,
            _ => NOT_FOUND,
        },
        Err(_) => FULL,
    };
}
