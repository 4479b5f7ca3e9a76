//! Masquerade: a container's flow to the outside under an address of the uplink.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::{
        BPF_NOEXIST, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2,
    },
    helpers::{bpf_get_prandom_u32, bpf_loop, bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
    programs::TcContext,
};
use beeline_abi::{Address, Direction, DropReason, FlowKind, Ports, Side, Tuple, icmp, icmpv6, ip};

use crate::{
    conntrack::{self, EEXIST},
    log,
    maps::{FLOWS, Table as _},
    packet::{Packet, RST},
    scratch::{self, CLAIMED, FULL, NOT_FOUND, Scratch},
};

/// The ports a search goes through, each once: an odd stride that shares no factor with their number.
const FIRST_PORT: u32 = 1024;
const PORTS: u32 = 64512;
const STRIDE: u32 = 9973;

/// How many of them one search tries: with one port in a thousand free it fails once in ten million times.
const TRIES: u32 = 16384;

/// How often a found port may turn out to be a host socket's.
const SOCKET_TRIES: u32 = 8;

const LISTEN: u32 = 10;
const ESTABLISHED: u32 = 1;

/// Whose flow it is.
#[derive(Clone, Copy)]
pub struct Owner {
    /// The endpoint's generation.
    pub generation: u32,
    /// Its network.
    pub network: u32,
}

/// Makes the flow and returns how the outside sees it. The original port is kept if it is free; a port is free when no
/// flow to the same peer and no socket of the host uses it.
#[inline(always)]
pub fn open(
    ctx: &TcContext,
    packet: &Packet,
    inside: &Tuple,
    address: &Address,
    owner: Owner,
) -> Result<&'static Tuple, DropReason> {
    conntrack::admit(owner.network)?;
    let scratch = scratch::get()?;
    scratch.network = owner.network;
    scratch.inside = *inside;
    scratch.wire = *inside;
    scratch.wire.side = Side::Wire as u8;
    scratch.wire.local = *address;
    conntrack::begin(scratch, packet, Direction::Out, FlowKind::Masqueraded, owner.generation);
    claim_port(ctx, scratch)?;
    scratch.flow.counterpart.local_port = scratch.wire.local_port;
    match conntrack::track(scratch) {
        Ok(()) => {}
        Err(EEXIST) => {
            // Another processor was faster: its mapping holds.
            let _ = FLOWS.remove(&scratch.wire);
            let existing = FLOWS.find(&scratch.inside).ok_or(DropReason::FlowsExhausted)?;
            return Ok(&existing.counterpart);
        }
        Err(_) => {
            let _ = FLOWS.remove(&scratch.wire);
            return Err(DropReason::FlowsExhausted);
        }
    }
    log::masqueraded(ctx, scratch);
    Ok(&scratch.wire)
}

/// Whether a flow can begin with this packet: no RST does, nor the answer to an echo request that came from elsewhere.
#[inline(always)]
pub fn may_begin(packet: &Packet) -> bool {
    match packet.protocol {
        ip::TCP => packet.tcp & RST == 0,
        ip::ICMP => packet.icmp == icmp::ECHO_REQUEST,
        ip::ICMPV6 => packet.icmp == icmpv6::ECHO_REQUEST,
        _ => true,
    }
}

/// Claims a wire tuple by inserting the stub.
#[inline(always)]
fn claim_port(ctx: &TcContext, scratch: &mut Scratch) -> Result<(), DropReason> {
    // An echo's identifier zero would make its tuple that of an echo request from outside.
    if scratch.wire.local_port != 0 {
        match FLOWS.insert(&scratch.wire, &scratch.stub, u64::from(BPF_NOEXIST)) {
            Ok(()) if !host_uses(ctx, &scratch.wire) => return Ok(()),
            Ok(()) => {
                let _ = FLOWS.remove(&scratch.wire);
            }
            Err(EEXIST) => {}
            Err(_) => return Err(DropReason::FlowsExhausted),
        }
    }
    // SAFETY: makes a number.
    scratch.start = unsafe { bpf_get_prandom_u32() };
    for _ in 0..SOCKET_TRIES {
        scratch.outcome = NOT_FOUND;
        let callback: extern "C" fn(u32, *mut c_void) -> i64 = try_port;
        // SAFETY: the callback takes what `bpf_loop` hands over, and uses none of it.
        unsafe { bpf_loop(TRIES, callback as *mut c_void, ptr::null_mut(), 0) };
        match scratch.outcome {
            CLAIMED if !host_uses(ctx, &scratch.wire) => return Ok(()),
            CLAIMED => {
                let _ = FLOWS.remove(&scratch.wire);
                scratch.start = scratch.start.wrapping_add(1);
            }
            FULL => return Err(DropReason::FlowsExhausted),
            _ => return Err(DropReason::PortsExhausted),
        }
    }
    Err(DropReason::PortsExhausted)
}

/// One try; zero goes on. What it works on cannot be handed over: the kernel takes only stack for that.
extern "C" fn try_port(index: u32, _: *mut c_void) -> i64 {
    let Ok(scratch) = scratch::get() else { return 1 };
    let at = scratch.start.wrapping_add(index.wrapping_mul(STRIDE)) % PORTS;
    scratch.wire.local_port = (FIRST_PORT + at) as u16;
    match FLOWS.insert(&scratch.wire, &scratch.stub, u64::from(BPF_NOEXIST)) {
        Ok(()) => scratch.outcome = CLAIMED,
        Err(EEXIST) => return 0,
        Err(_) => scratch.outcome = FULL,
    }
    1
}

/// Whether a socket of the host would get this flow's answers. A listening TCP socket would not: the peer's port is
/// no client's.
#[inline(always)]
pub fn host_uses(ctx: &TcContext, wire: &Tuple) -> bool {
    match wire.protocol {
        ip::TCP => matches!(socket_state(ctx, wire), Some(state) if state != LISTEN),
        ip::UDP => socket_state(ctx, wire).is_some(),
        _ => false,
    }
}

/// Whether a socket of the host is connected to this flow's peer.
#[inline(always)]
pub fn host_is_connected(ctx: &TcContext, wire: &Tuple) -> bool {
    match wire.protocol {
        ip::TCP => matches!(socket_state(ctx, wire), Some(state) if state != LISTEN),
        ip::UDP => socket_state(ctx, wire) == Some(ESTABLISHED),
        _ => false,
    }
}

/// The state of the host's socket that a packet from the flow's peer would reach.
#[inline(always)]
fn socket_state(ctx: &TcContext, wire: &Tuple) -> Option<u32> {
    const V4_LEN: u32 = size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1>() as u32;
    const V6_LEN: u32 = size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2>() as u32;
    const CURRENT_NETNS: u64 = u64::MAX;
    let ports = Ports { source: wire.remote_port, destination: wire.local_port };
    // Every word is written in either family: the verifier takes no leftovers on the stack.
    let (saddr, daddr, length) = if wire.local.is_v4() {
        ([wire.remote.v4_word(), wire.local.v4_word(), ports.word(), 0], [0; 4], V4_LEN)
    } else {
        (wire.remote.words, wire.local.words, V6_LEN)
    };
    let (sport, dport) = (ports.source.to_be(), ports.destination.to_be());
    let ipv6 = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 { saddr, daddr, sport, dport };
    let mut tuple = bpf_sock_tuple { __bindgen_anon_1: bpf_sock_tuple__bindgen_ty_1 { ipv6 } };
    let context = ctx.skb.skb.cast();
    // SAFETY: the helpers read the tuple; the socket they return is read before it is released.
    unsafe {
        let socket = if wire.protocol == ip::TCP {
            bpf_skc_lookup_tcp(context, &mut tuple, length, CURRENT_NETNS, 0)
        } else {
            bpf_sk_lookup_udp(context, &mut tuple, length, CURRENT_NETNS, 0)
        };
        if socket.is_null() {
            return None;
        }
        let state = (*socket).state;
        bpf_sk_release(socket.cast());
        Some(state)
    }
}
