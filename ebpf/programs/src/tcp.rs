//! What only the kernel's TCP sockets know: round trips, how connections began or failed, what was sent again.
//!
//! No packet pays for it: programs run when a connection begins, once for each round trip, and when something goes wrong.

use aya_ebpf::{
    Global,
    bindings::{
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RTT_CB,
        BPF_SOCK_OPS_RTT_CB_FLAG, BPF_TCP_CLOSE, BPF_TCP_ESTABLISHED, BPF_TCP_NEW_SYN_RECV, BPF_TCP_SYN_RECV,
        BPF_TCP_SYN_SENT, BPF_TCP_TIME_WAIT,
    },
    btf_maps::LruHashMap,
    helpers::{bpf_ktime_get_ns, bpf_skc_to_tcp_sock},
    macros::btf_map,
    programs::{BtfTracePointContext, FEntryContext, SockOpsContext},
};
use beeline_abi::{GroupCounters, ether, ip};

use crate::{
    group::{Counters, read},
    maps::Table as _,
};

/// Where the kernel keeps what no helper tells, see [`crate::group`].
#[unsafe(no_mangle)]
pub static SOCK_ERROR: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static SOCK_PROTOCOL: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static SOCK_STATE: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static ACCEPT_QUEUE: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static ACCEPT_LIMIT: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static ACKNOWLEDGED: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static WINDOW: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static SENT: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static SKB_PROTOCOL: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static SKB_CONTROL: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static SEGMENTS: Global<u32> = Global::new(0);

const ECONNREFUSED: i32 = 111;

/// When sockets that wait for an answer sent their SYN. One that is lost has no latency.
#[btf_map]
static CONNECTS: LruHashMap<u64, u64, 16384> = LruHashMap::new();

/// A pointer to a counter of a group.
macro_rules! field {
    ($field:ident) => {
        // SAFETY: no memory is read; the pointer is to a value of a map.
        |counters: *mut GroupCounters| unsafe { &raw mut (*counters).$field }
    };
}

/// A connection is established, or its round trip was measured.
#[inline(always)]
pub fn round_trip(ctx: &SockOpsContext) -> Option<()> {
    // SAFETY: the kernel hands each program its context.
    let ops = unsafe { &*ctx.ops };
    let smoothed = ops.srtt_us >> 3;
    match ops.op {
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB | BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => {
            let counters = of_context(ctx)?;
            ctx.set_cb_flags((ctx.cb_flags() | BPF_SOCK_OPS_RTT_CB_FLAG) as i32).ok()?;
            // The handshake's; it is not known where SYN cookies had to do.
            if smoothed != 0 {
                counters.observe(field!(round_trips), u64::from(smoothed));
            }
        }
        BPF_SOCK_OPS_RTT_CB => {
            // Before Linux 6.10 the measurement itself is not told.
            let measured = ctx.arg(0);
            let micros = if measured == 0 { smoothed } else { measured };
            of_context(ctx)?.observe(field!(round_trips), u64::from(micros));
        }
        _ => {}
    }
    Some(())
}

#[inline(always)]
fn of_context(ctx: &SockOpsContext) -> Option<Counters<GroupCounters>> {
    // SAFETY: as above.
    let socket = unsafe { (*ctx.ops).__bindgen_anon_2.sk };
    if socket.is_null() {
        return None;
    }
    // SAFETY: the pointer is the context's own.
    let socket = unsafe { bpf_skc_to_tcp_sock(socket.cast()) };
    if socket.is_null() {
        return None;
    }
    Counters::of_socket(socket as u64)
}

/// A socket has another state.
#[inline(always)]
pub fn state(ctx: &BtfTracePointContext) -> Option<()> {
    let (socket, before, after): (u64, u32, u32) = (ctx.arg(0), ctx.arg(1), ctx.arg(2));
    if after != BPF_TCP_SYN_SENT && before != BPF_TCP_SYN_SENT && before != BPF_TCP_SYN_RECV {
        return None;
    }
    let counters = Counters::of_socket(socket)?;
    if read::<u16>(socket, SOCK_PROTOCOL.load())? != u16::from(ip::TCP) {
        return None;
    }
    if after == BPF_TCP_SYN_SENT {
        // SAFETY: the helper has no arguments.
        return CONNECTS.insert(socket, unsafe { bpf_ktime_get_ns() }, 0).ok();
    }
    if after == BPF_TCP_ESTABLISHED {
        match CONNECTS.find(&socket) {
            Some(began) => {
                // SAFETY: as above.
                let took = unsafe { bpf_ktime_get_ns() }.saturating_sub(*began);
                counters.observe(field!(connects), took / 1000);
            }
            None if before == BPF_TCP_SYN_RECV => counters.add(field!(accepted), 1),
            None => {}
        }
    } else if after == BPF_TCP_CLOSE && before == BPF_TCP_SYN_SENT {
        match read::<i32>(socket, SOCK_ERROR.load())? {
            ECONNREFUSED => counters.add(field!(refused), 1),
            0 => counters.add(field!(abandoned), 1),
            _ => counters.add(field!(failed), 1),
        }
    } else {
        // Both ends open at once: the answer is still to come.
        return None;
    }
    let _ = CONNECTS.remove(socket);
    Some(())
}

/// Segments are sent once more.
#[inline(always)]
pub fn retransmit(ctx: &BtfTracePointContext) -> Option<()> {
    let (socket, packet): (u64, u64) = (ctx.arg(0), ctx.arg(1));
    let counters = Counters::of_socket(socket)?;
    let segments: u16 = read(packet, SKB_CONTROL.load() + SEGMENTS.load())?;
    counters.add(field!(retransmits), u64::from(segments.max(1)));
    Some(())
}

/// The answer to a SYN is sent once more, by the listening socket.
#[inline(always)]
pub fn retransmit_answer(ctx: &BtfTracePointContext) -> Option<()> {
    Counters::of_socket(ctx.arg(0))?.add(field!(retransmits), 1);
    Some(())
}

/// A socket sends a reset. There is none where nobody listens, and less than one that waits for late packets.
#[inline(always)]
pub fn send_reset(ctx: &BtfTracePointContext) -> Option<()> {
    let socket: u64 = ctx.arg(0);
    if socket == 0 {
        return None;
    }
    match u32::from(read::<u8>(socket, SOCK_STATE.load())?) {
        BPF_TCP_TIME_WAIT | BPF_TCP_NEW_SYN_RECV => None,
        _ => {
            Counters::of_socket(socket)?.add(field!(resets_sent), 1);
            Some(())
        }
    }
}

/// A reset ends a connection.
#[inline(always)]
pub fn receive_reset(ctx: &BtfTracePointContext) -> Option<()> {
    Counters::of_socket(ctx.arg(0))?.add(field!(resets_received), 1);
    Some(())
}

/// A socket asks whether its peer takes data again, or, where some still fits into the window, sends that.
#[inline(always)]
pub fn probe_window(ctx: &FEntryContext) -> Option<()> {
    let socket: u64 = ctx.arg(0);
    let (acknowledged, window): (u32, u32) =
        (read(socket, ACKNOWLEDGED.load())?, read(socket, WINDOW.load())?);
    let room = acknowledged.wrapping_add(window).wrapping_sub(read(socket, SENT.load())?);
    if (room as i32) > 0 {
        return None;
    }
    Counters::of_socket(socket)?.add(field!(window_probes), 1);
    Some(())
}

/// A SYN came for a listening socket.
#[inline(always)]
pub fn asked(ctx: &FEntryContext) -> Option<()> {
    count_overflow(ctx.arg(2))
}

/// The last packet of a handshake came for a listening socket.
#[inline(always)]
pub fn shaken(ctx: &FEntryContext) -> Option<()> {
    count_overflow(ctx.arg(0))
}

/// The same, in the function for IPv6: it hands IPv4 to that for IPv4.
#[inline(always)]
pub fn shaken6(ctx: &FEntryContext) -> Option<()> {
    let protocol: u16 = read(ctx.arg(1), SKB_PROTOCOL.load())?;
    if u16::from_be(protocol) != ether::IPV6 {
        return None;
    }
    count_overflow(ctx.arg(0))
}

/// Compares as the kernel is about to.
#[inline(always)]
fn count_overflow(listener: u64) -> Option<()> {
    let waiting: u32 = read(listener, ACCEPT_QUEUE.load())?;
    if waiting > read(listener, ACCEPT_LIMIT.load())? {
        Counters::of_socket(listener)?.add(field!(overflows), 1);
    }
    Some(())
}
