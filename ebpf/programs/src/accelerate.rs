//! Connections between two sockets of this host, past the network: what one sends is put into the other's queue.
//!
//! A socket is enrolled when its connection is established, through the programs at the devices: what they refuse is never
//! here. Each message is then judged for itself, and nothing is remembered. It takes the short way if
//!
//! - both addresses may be accelerated, in one network, and are of the namespaces they were of: a container that was
//!   disconnected, or whose address is another's now, is back on the long way at once;
//! - the peer is enrolled, and has read everything that went the long way: so nothing is overtaken;
//! - little waits for the peer: the short way has no end, and would never make a sender wait. The long way does.
//!
//! The order in the other direction, from the short way to the long one, is kept by the peer: what comes in packets joins
//! the same queue (`accelerate_receive`).

use core::ptr::read_volatile;

use aya_ebpf::{
    EbpfContext as _, Global,
    bindings::{
        BPF_ANY, BPF_F_INGRESS, BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
        BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_TCP_CLOSE,
    },
    btf_maps::{HashMap, LruHashMap, PerCpuArray, SockHash},
    helpers::{bpf_get_netns_cookie, bpf_probe_read_kernel},
    macros::btf_map,
    programs::{SkMsgContext, SockOpsContext},
};
use beeline_abi::{
    AcceleratedEnd, AcceleratedSocket, Address, EndpointCounters, MAX_ACCELERATED, MAX_ENDPOINTS, SocketPair,
};

use crate::{
    maps::{Table as _, own},
    packet::SYN,
};

/// The verdict that lets a message, or a packet, go on; whether to another socket is said beside it.
pub const PASS: u32 = 1;

const AF_INET: u32 = 2;

/// How many bytes may wait for a peer before its sender takes the long way.
const MOST_WAITING: i32 = 1 << 20;

/// Where the kernel keeps what no helper tells, in bytes from the beginning of a TCP socket: the daemon reads it from the
/// kernel's own description. Zero: there is no such field.
#[unsafe(no_mangle)]
pub static WRITE_SEQ: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static COPIED_SEQ: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static RMEM_ALLOC: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static ULP_OPS: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static IS_MPTCP: Global<u32> = Global::new(0);

/// What may be accelerated, by address.
#[btf_map]
static ENDS: HashMap<Address, AcceleratedEnd, { 3 * MAX_ENDPOINTS as usize }> = HashMap::new();

/// The sockets, for the kernel.
#[btf_map]
static ACCELERATED: SockHash<SocketPair, { MAX_ACCELERATED as usize }> = SockHash::new();

/// The same sockets, for the program: with it alone it can look into both. One that is lost is not accelerated.
#[btf_map]
static PEERS: LruHashMap<SocketPair, AcceleratedSocket, { MAX_ACCELERATED as usize }> = LruHashMap::new();

/// Counters of what took the short way, by the endpoint's slot; the host's, and a test's, are behind all endpoints'. Apart
/// from the others: these are written by processes, not with bottom halves disabled.
#[btf_map]
static SHORTCUTS: PerCpuArray<EndpointCounters, { MAX_ENDPOINTS as usize + 2 }> = PerCpuArray::new();

/// A socket's connection was established, or has ended.
#[inline(always)]
pub fn enrol(ctx: &SockOpsContext) -> u32 {
    match ctx.op() {
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => established(ctx),
        // With data in the first packet (TCP Fast Open) some of it is in the socket's queue already.
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB if !is_of_syn(ctx) => established(ctx),
        BPF_SOCK_OPS_STATE_CB if ctx.arg(1) == BPF_TCP_CLOSE => {
            let _ = PEERS.remove(&pair_of(ctx));
        }
        _ => {}
    }
    PASS
}

#[inline(always)]
fn is_of_syn(ctx: &SockOpsContext) -> bool {
    // SAFETY: the kernel hands each program its context.
    unsafe { (*ctx.ops).skb_tcp_flags & u32::from(SYN) != 0 }
}

#[inline(always)]
fn established(ctx: &SockOpsContext) {
    let pair = pair_of(ctx);
    // Most sockets end here.
    let Some(end) = ENDS.find(&pair.local) else { return };
    let Some(peer) = ENDS.find(&pair.remote) else { return };
    // SAFETY: the kernel hands each program its context.
    let netns = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) };
    if end.netns != netns || end.network != peer.network || pair.local == pair.remote {
        return;
    }
    // SAFETY: as above.
    let socket = unsafe { (*ctx.ops).__bindgen_anon_2.sk };
    if socket.is_null() {
        return;
    }
    let entry = AcceleratedSocket { socket: socket as u64, netns };
    if PEERS.insert(&pair, &entry, u64::from(BPF_ANY)).is_err() {
        return;
    }
    // Read back, it is a number to the verifier: from a pointer to a socket it lets nothing be computed.
    if PEERS.find(&pair).is_none_or(|known| is_mptcp(known.socket)) {
        let _ = PEERS.remove(&pair);
        return;
    }
    let _ = ctx.set_cb_flags((ctx.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG) as i32);
    // SAFETY: as above.
    let ops = unsafe { &mut *ctx.ops };
    if ACCELERATED.update(pair, ops, u64::from(BPF_ANY)).is_err() {
        let _ = PEERS.remove(&pair);
    }
}

/// A socket sends.
#[inline(always)]
pub fn send(ctx: &SkMsgContext) -> u32 {
    let _ = take_short_way(ctx);
    PASS
}

/// Sends the message to the peer, if it may; none: it goes on by TCP.
#[inline(always)]
fn take_short_way(ctx: &SkMsgContext) -> Option<()> {
    let pair = pair_of_message(ctx);
    let (from, to) = (ENDS.find(&pair.local)?, ENDS.find(&pair.remote)?);
    let back = pair.reversed();
    let (own, peer) = (PEERS.find(&pair)?, PEERS.find(&back)?);
    if from.netns != own.netns || to.netns != peer.netns || from.network != to.network {
        return None;
    }
    if read::<u32>(own.socket, WRITE_SEQ.load())? != read::<u32>(peer.socket, COPIED_SEQ.load())?
        || read::<i32>(peer.socket, RMEM_ALLOC.load())? > MOST_WAITING
        || has_protocol_above(own.socket)?
        || has_protocol_above(peer.socket)?
    {
        return None;
    }
    let (from, to, bytes) = (from.slot, to.slot, u64::from(ctx.size()));
    if ACCELERATED.redirect_msg(ctx, back, u64::from(BPF_F_INGRESS)) as u32 != PASS {
        return None;
    }
    count(from, to, bytes);
    Some(())
}

/// Counts a message for both ends.
#[inline(always)]
fn count(from: u32, to: u32, bytes: u64) {
    if let Some(counters) = own(&SHORTCUTS, from) {
        counters.tx_bytes += bytes;
        counters.tx_packets += 1;
    }
    if let Some(counters) = own(&SHORTCUTS, to) {
        counters.rx_bytes += bytes;
        counters.rx_packets += 1;
    }
}

/// Whether the socket carries a part of a connection over several ways: what it sends is no plain stream.
#[inline(always)]
fn is_mptcp(socket: u64) -> bool {
    let offset = IS_MPTCP.load();
    offset != 0 && read::<u8>(socket, offset).is_none_or(|is_mptcp| is_mptcp != 0)
}

/// Whether the kernel encrypts what the socket sends (kTLS): a message is not yet what the peer is to get.
#[inline(always)]
fn has_protocol_above(socket: u64) -> Option<bool> {
    Some(read::<u64>(socket, ULP_OPS.load())? != 0)
}

/// Reads a field of a TCP socket.
#[inline(always)]
fn read<T>(socket: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper makes sure itself that there is memory; any bytes are a value of these types.
    unsafe { bpf_probe_read_kernel((socket + u64::from(offset)) as *const T) }.ok()
}

/// Both ends as the context has them. Word by word: the verifier wants each access by itself. The remote port lies there in
/// the order of the wire.
macro_rules! pair {
    ($raw:expr) => {{
        let raw = $raw;
        // SAFETY: the kernel hands each program its context; these are fields of it.
        unsafe {
            // Both families' first, whichever it is: of branches that end alike the compiler makes one access at two places.
            let (local4, remote4) = (read_volatile(&raw.local_ip4), read_volatile(&raw.remote_ip4));
            let (local6, remote6) = (words(&raw.local_ip6), words(&raw.remote_ip6));
            let (local, remote) = if read_volatile(&raw.family) == AF_INET {
                (Address::v4(local4), Address::v4(remote4))
            } else {
                (local6, remote6)
            };
            SocketPair {
                local,
                remote,
                local_port: read_volatile(&raw.local_port) as u16,
                remote_port: u32::from_be(read_volatile(&raw.remote_port)) as u16,
                pad: 0,
            }
        }
    }};
}

#[inline(always)]
fn words(raw: &[u32; 4]) -> Address {
    // SAFETY: reads fields of a reference.
    let read = |at: usize| unsafe { read_volatile(&raw[at]) };
    Address { words: [read(0), read(1), read(2), read(3)] }
}

#[inline(always)]
fn pair_of(ctx: &SockOpsContext) -> SocketPair {
    // SAFETY: the kernel hands each program its context.
    pair!(unsafe { &*ctx.ops })
}

#[inline(always)]
fn pair_of_message(ctx: &SkMsgContext) -> SocketPair {
    // SAFETY: as above.
    pair!(unsafe { &*ctx.msg })
}
