//! The programs by name, and where each attaches.

use aya_obj::generated::bpf_attach_type as at;

use super::Watch;

/// The programs that handle packets.
pub(super) const UPLINK_INGRESS: &str = "uplink_ingress";
pub(super) const UPLINK_EGRESS: &str = "uplink_egress";
pub(super) const CONTAINER_INGRESS: &str = "container_ingress";
pub(super) const GATEWAY_EGRESS: &str = "gateway_egress";

/// Drops what comes from denied sources, at the uplinks that ask for it.
pub(super) const UPLINK_GUARD: &str = "uplink_guard";
pub(super) const UPLINK_GUARD_GENERIC: &str = "uplink_guard_generic";

/// Deletes expired flows when run by the daemon; attached nowhere.
pub(super) const EXPIRE_FLOWS: &str = "expire_flows";

/// Enrols sockets whose connections may be accelerated, at the root cgroup.
pub(super) const ACCELERATE_ENROL: &str = "accelerate_enrol";

/// What such sockets send and get, at the map of sockets.
pub(super) const ACCELERATE_SEND: &str = "accelerate_send";
pub(super) const ACCELERATE_RECEIVE: &str = "accelerate_receive";

/// The programs without which all else works.
pub(super) const ACCELERATION: [&str; 3] = [ACCELERATE_ENROL, ACCELERATE_SEND, ACCELERATE_RECEIVE];

/// What the kernel runs a program for that watches containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// What happens to the sockets of the root cgroup.
    Sockets,
    /// A tracepoint.
    Tracepoint(&'static str),
    /// The beginning of a function.
    Function(&'static str),
}

pub(super) const TCP_ROUND_TRIP: &str = "tcp_round_trip";
pub(super) const TCP_STATE: &str = "tcp_state";
pub(super) const TCP_RETRANSMITS: [&str; 2] = ["tcp_retransmit", "tcp_retransmit_answer"];
pub(super) const TCP_RESET_SENT: &str = "tcp_reset_sent";
pub(super) const TCP_RESET_RECEIVED: &str = "tcp_reset_received";
pub(super) const TCP_WINDOW_PROBE: &str = "tcp_window_probe";
pub(super) const TCP_OVERFLOWS: [&str; 3] = ["tcp_asked", "tcp_shaken4", "tcp_shaken6"];
pub(super) const PROCESS_EXECUTED: &str = "process_executed";
pub(super) const PROCESS_ENDED: &str = "process_ended";

/// The programs that watch containers; each is a feature that a kernel may lack.
pub(super) const OBSERVERS: [(&str, Hook); 13] = [
    (TCP_ROUND_TRIP, Hook::Sockets),
    (TCP_STATE, Hook::Tracepoint("inet_sock_set_state")),
    (TCP_RETRANSMITS[0], Hook::Tracepoint("tcp_retransmit_skb")),
    (TCP_RETRANSMITS[1], Hook::Tracepoint("tcp_retransmit_synack")),
    (TCP_RESET_SENT, Hook::Tracepoint("tcp_send_reset")),
    (TCP_RESET_RECEIVED, Hook::Tracepoint("tcp_receive_reset")),
    (TCP_WINDOW_PROBE, Hook::Function("tcp_send_probe0")),
    (TCP_OVERFLOWS[0], Hook::Function("tcp_conn_request")),
    (TCP_OVERFLOWS[1], Hook::Function("tcp_v4_syn_recv_sock")),
    (TCP_OVERFLOWS[2], Hook::Function("tcp_v6_syn_recv_sock")),
    (PROCESS_EXECUTED, Hook::Tracepoint("sched_process_exec")),
    (PROCESS_ENDED, Hook::Tracepoint("sched_process_exit")),
    ("group_made", Hook::Tracepoint("cgroup_mkdir")),
];

pub(super) const RUN_QUEUE: [&str; 4] = ["thread_woken", "thread_begun", "thread_switched", "thread_ended"];
pub(super) const BLOCK_IO: [&str; 2] = ["block_requested", "block_completed"];

/// Those that do so where latencies are asked for.
pub(super) const LATENCIES: [(&str, Hook); 6] = [
    (RUN_QUEUE[0], Hook::Tracepoint("sched_wakeup")),
    (RUN_QUEUE[1], Hook::Tracepoint("sched_wakeup_new")),
    (RUN_QUEUE[2], Hook::Tracepoint("sched_switch")),
    (RUN_QUEUE[3], Hook::Tracepoint("sched_process_exit")),
    (BLOCK_IO[0], Hook::Tracepoint("block_rq_issue")),
    (BLOCK_IO[1], Hook::Tracepoint("block_rq_complete")),
];

/// The programs that watch, as much as is asked for.
pub(super) fn observers(watch: Watch) -> impl Iterator<Item = (&'static str, Hook)> {
    OBSERVERS.into_iter().chain(LATENCIES.into_iter().filter(move |_| watch.latencies))
}

/// The programs that attach to devices, or are run.
pub(super) const PACKET_PROGRAMS: [&str; 7] = [
    UPLINK_INGRESS,
    UPLINK_EGRESS,
    CONTAINER_INGRESS,
    GATEWAY_EGRESS,
    UPLINK_GUARD,
    UPLINK_GUARD_GENERIC,
    EXPIRE_FLOWS,
];

/// The programs at the root cgroup and their attach types.
pub(super) const SOCKET_PROGRAMS: [(&str, at); 10] = [
    ("connect4", at::BPF_CGROUP_INET4_CONNECT),
    ("connect6", at::BPF_CGROUP_INET6_CONNECT),
    ("sendmsg4", at::BPF_CGROUP_UDP4_SENDMSG),
    ("sendmsg6", at::BPF_CGROUP_UDP6_SENDMSG),
    ("recvmsg4", at::BPF_CGROUP_UDP4_RECVMSG),
    ("recvmsg6", at::BPF_CGROUP_UDP6_RECVMSG),
    ("getpeername4", at::BPF_CGROUP_INET4_GETPEERNAME),
    ("getpeername6", at::BPF_CGROUP_INET6_GETPEERNAME),
    ("post_bind4", at::BPF_CGROUP_INET4_POST_BIND),
    ("post_bind6", at::BPF_CGROUP_INET6_POST_BIND),
];

/// The name of every program, also of those without which all else works.
pub(super) fn all(watch: Watch) -> impl Iterator<Item = &'static str> {
    needed().chain(ACCELERATION).chain(observers(watch).map(|(name, _)| name))
}

/// The name of every program that there must be.
pub(super) fn needed() -> impl Iterator<Item = &'static str> {
    PACKET_PROGRAMS.into_iter().chain(SOCKET_PROGRAMS.into_iter().map(|(name, _)| name))
}
