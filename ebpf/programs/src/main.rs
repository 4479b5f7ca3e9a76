//! Beeline's datapath: the programs that run in the kernel.
//!
//! | program | attached to | handles |
//! |---|---|---|
//! | `uplink_ingress` | ingress of devices towards the outside | published ports, answers to masqueraded flows |
//! | `uplink_egress` | egress of the same | containers' packets that took the host's stack |
//! | `container_ingress` | ingress of the host's end of each veth pair | everything a container sends |
//! | `gateway_egress` | egress of each network's bridge device | what the host sends to a container |
//! | `uplink_guard`, `uplink_guard_generic` | devices towards the outside that ask for it | drops the daemon's denied sources |
//! | `connect`, `sendmsg`, `recvmsg`, `getpeername` | the root cgroup | the host's own clients of published ports, containers' questions for names |
//! | `post_bind` | the root cgroup | keeps published ports from the host's own servers |
//! | `accelerate_enrol`, `accelerate_send`, `accelerate_receive` | the root cgroup, and the map of sockets | connections within the host, past the network |
//! | `tcp_round_trip` | the root cgroup | how long the round trips of containers' connections take |
//! | `tcp_…` | tracepoints and functions of TCP | how containers' connections begin, and what goes wrong |
//! | `process_…`, `group_made` | tracepoints | programs that containers execute, processes that end, groups below theirs |
//! | `thread_…`, `block_…` | tracepoints, where asked for | how long containers wait for processors and block devices |
//! | `expire_flows` | nothing: the daemon runs it | deletes flows that are over |
//!
//! Entry points are thin: they turn a module's outcome into a verdict and count what was refused. A packet of nobody
//! we know goes on to the next program (`TC_ACT_UNSPEC`), so that several instances share a device.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod accelerate;
mod arp;
mod collect;
mod conntrack;
mod container;
mod conversation;
mod count;
mod dns;
mod early;
mod ends;
mod event;
mod forward;
mod fragment;
mod front;
mod gateway;
mod group;
mod guard;
mod icmp_error;
mod icmpv6;
mod latency;
mod log;
mod maps;
mod masquerade;
mod multicast;
mod nat;
mod nd;
mod packet;
mod plan;
mod policy;
mod process;
mod publish;
mod scratch;
mod sctp;
mod skb;
mod socket;
mod tcp;
mod uplink;

use aya_ebpf::{
    macros::{
        btf_tracepoint, cgroup_sock, cgroup_sock_addr, classifier, fentry, sk_msg, sock_ops, stream_verdict,
        xdp,
    },
    programs::{
        BtfTracePointContext, FEntryContext, SkBuffContext, SkMsgContext, SockAddrContext, SockContext,
        SockOpsContext, TcContext, XdpContext,
    },
};

/// A packet from outside.
#[classifier]
pub fn uplink_ingress(ctx: TcContext) -> i32 {
    count::verdict(&ctx, uplink::ingress(&ctx))
}

/// A packet on its way outside.
#[classifier]
pub fn uplink_egress(ctx: TcContext) -> i32 {
    count::verdict(&ctx, uplink::egress(&ctx))
}

/// A packet of a container. Its stack is just large enough: a call more does not fit.
#[classifier]
#[inline(always)]
pub fn container_ingress(ctx: TcContext) -> i32 {
    container::ingress(&ctx)
}

/// A packet of the host to a container.
#[classifier]
pub fn gateway_egress(ctx: TcContext) -> i32 {
    count::verdict(&ctx, gateway::egress(&ctx))
}

/// A frame from outside, in the driver: before it is a socket buffer.
#[xdp(frags)]
pub fn uplink_guard(ctx: XdpContext) -> u32 {
    guard::judge(&ctx)
}

/// The same behind a driver that cannot. Not for frames in several buffers: of these the kernel makes new socket buffers
/// that do not know how long their Ethernet header is, and `uplink_ingress` would find no packet in them.
#[xdp]
pub fn uplink_guard_generic(ctx: XdpContext) -> u32 {
    guard::judge(&ctx)
}

/// Run by the daemon on a list of candidates.
#[classifier]
pub fn expire_flows(ctx: TcContext) -> i32 {
    collect::expire(&ctx)
}

/// A socket of the host connects.
#[cgroup_sock_addr(connect4)]
pub fn connect4(ctx: SockAddrContext) -> i32 {
    socket::connect4(&ctx)
}

/// A socket of the host connects.
#[cgroup_sock_addr(connect6)]
pub fn connect6(ctx: SockAddrContext) -> i32 {
    socket::connect6(&ctx)
}

/// An unconnected socket of the host sends.
#[cgroup_sock_addr(sendmsg4)]
pub fn sendmsg4(ctx: SockAddrContext) -> i32 {
    socket::sendmsg4(&ctx)
}

/// An unconnected socket of the host sends.
#[cgroup_sock_addr(sendmsg6)]
pub fn sendmsg6(ctx: SockAddrContext) -> i32 {
    socket::sendmsg6(&ctx)
}

/// A socket of the host learns where a datagram came from.
#[cgroup_sock_addr(recvmsg4)]
pub fn recvmsg4(ctx: SockAddrContext) -> i32 {
    socket::name4(&ctx)
}

/// A socket of the host learns where a datagram came from.
#[cgroup_sock_addr(recvmsg6)]
pub fn recvmsg6(ctx: SockAddrContext) -> i32 {
    socket::name6(&ctx)
}

/// A socket of the host asks whom it talks to.
#[cgroup_sock_addr(getpeername4)]
pub fn getpeername4(ctx: SockAddrContext) -> i32 {
    socket::name4(&ctx)
}

/// A socket of the host asks whom it talks to.
#[cgroup_sock_addr(getpeername6)]
pub fn getpeername6(ctx: SockAddrContext) -> i32 {
    socket::name6(&ctx)
}

/// A socket of the host was bound.
#[cgroup_sock(post_bind4)]
pub fn post_bind4(ctx: SockContext) -> i32 {
    socket::post_bind4(&ctx)
}

/// A socket of the host was bound.
#[cgroup_sock(post_bind6)]
pub fn post_bind6(ctx: SockContext) -> i32 {
    socket::post_bind6(&ctx)
}

/// A TCP socket of this machine is connected, or closed.
#[sock_ops]
pub fn accelerate_enrol(ctx: SockOpsContext) -> u32 {
    accelerate::enrol(&ctx)
}

/// A socket that may be accelerated sends.
#[sk_msg]
pub fn accelerate_send(ctx: SkMsgContext) -> u32 {
    accelerate::send(&ctx)
}

/// Such a socket gets a packet all the same. It joins the queue of what came without one: the order is kept.
#[stream_verdict]
pub fn accelerate_receive(_: SkBuffContext) -> u32 {
    accelerate::PASS
}

/// A TCP socket is connected, or has measured a round trip.
#[sock_ops]
pub fn tcp_round_trip(ctx: SockOpsContext) -> u32 {
    let _ = tcp::round_trip(&ctx);
    1
}

/// A socket has another state.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn tcp_state(ctx: BtfTracePointContext) {
    let _ = tcp::state(&ctx);
}

/// Segments are sent once more.
#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub fn tcp_retransmit(ctx: BtfTracePointContext) {
    let _ = tcp::retransmit(&ctx);
}

/// The answer to a SYN is sent once more.
#[btf_tracepoint(function = "tcp_retransmit_synack")]
pub fn tcp_retransmit_answer(ctx: BtfTracePointContext) {
    let _ = tcp::retransmit_answer(&ctx);
}

/// A reset is sent.
#[btf_tracepoint(function = "tcp_send_reset")]
pub fn tcp_reset_sent(ctx: BtfTracePointContext) {
    let _ = tcp::send_reset(&ctx);
}

/// A reset ends a connection.
#[btf_tracepoint(function = "tcp_receive_reset")]
pub fn tcp_reset_received(ctx: BtfTracePointContext) {
    let _ = tcp::receive_reset(&ctx);
}

/// A socket asks whether its peer takes data again.
#[fentry(function = "tcp_send_probe0")]
pub fn tcp_window_probe(ctx: FEntryContext) {
    let _ = tcp::probe_window(&ctx);
}

/// A SYN came for a listening socket.
#[fentry(function = "tcp_conn_request")]
pub fn tcp_asked(ctx: FEntryContext) {
    let _ = tcp::asked(&ctx);
}

/// The last packet of a handshake came for a listening socket.
#[fentry(function = "tcp_v4_syn_recv_sock")]
pub fn tcp_shaken4(ctx: FEntryContext) {
    let _ = tcp::shaken(&ctx);
}

/// The same for IPv6.
#[fentry(function = "tcp_v6_syn_recv_sock")]
pub fn tcp_shaken6(ctx: FEntryContext) {
    let _ = tcp::shaken6(&ctx);
}

/// A process executes a program.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_executed(_: BtfTracePointContext) {
    let _ = process::executed();
}

/// A thread ends.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_ended(_: BtfTracePointContext) {
    let _ = process::ended();
}

/// A control group was made.
#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn group_made(ctx: BtfTracePointContext) {
    let _ = group::made(&ctx);
}

/// A thread can run.
#[btf_tracepoint(function = "sched_wakeup")]
pub fn thread_woken(ctx: BtfTracePointContext) {
    let _ = latency::woken(&ctx);
}

/// A new thread can run.
#[btf_tracepoint(function = "sched_wakeup_new")]
pub fn thread_begun(ctx: BtfTracePointContext) {
    let _ = latency::woken(&ctx);
}

/// A processor goes from one thread to another.
#[btf_tracepoint(function = "sched_switch")]
pub fn thread_switched(ctx: BtfTracePointContext) {
    let _ = latency::switched(&ctx);
}

/// A thread ends.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn thread_ended(_: BtfTracePointContext) {
    latency::ended();
}

/// A block device gets a request.
#[btf_tracepoint(function = "block_rq_issue")]
pub fn block_requested(ctx: BtfTracePointContext) {
    let _ = latency::requested(&ctx);
}

/// A block device has done with a request.
#[btf_tracepoint(function = "block_rq_complete")]
pub fn block_completed(ctx: BtfTracePointContext) {
    let _ = latency::completed(&ctx);
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // No path leads here: the verifier would refuse the loop.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
