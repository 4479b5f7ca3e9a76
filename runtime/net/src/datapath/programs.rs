//! The programs by name, and where each attaches.

use aya_obj::generated::bpf_attach_type as at;

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

/// The name of every program that there must be.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    PACKET_PROGRAMS.into_iter().chain(SOCKET_PROGRAMS.into_iter().map(|(name, _)| name))
}
