//! What Beeline's ways are to reach beside others.

use super::super::Kind;

/// A way's figures beside another's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal {
    pub(super) way: &'static str,
    pub(super) beside: &'static str,
    requests: Option<f64>,
    connections: Option<f64>,
    stream: Option<f64>,
    /// All but one request, and connection, in a hundred take no longer.
    pub(super) p99: bool,
}

impl Goal {
    /// At least this share of the other's rate.
    pub(super) fn rate(&self, kind: Kind) -> Option<f64> {
        match kind {
            Kind::Requests => self.requests,
            Kind::Connections => self.connections,
            Kind::Stream => self.stream,
        }
    }
}

const fn each(way: &'static str, beside: &'static str, share: f64) -> Goal {
    let share = Some(share);
    Goal { way, beside, requests: share, connections: share, stream: share, p99: false }
}

/// Above the other in everything.
const fn above(beside: &'static str) -> Goal {
    Goal { p99: true, ..each("beeline", beside, 1.0) }
}

const fn accelerated(way: &'static str, requests: f64) -> Goal {
    Goal { requests: Some(requests), connections: None, ..each(way, "loopback", 1.25) }
}

pub(super) const PUBLISHED: &[Goal] = &[
    each("beeline", "routed", 0.97),
    each("beeline", "ceiling", 0.93),
    above("iptables"),
    above("dockerd"),
    above("podman"),
];

pub(super) const LOOPBACK: &[Goal] =
    &[each("beeline", "ceiling", 0.9), Goal { requests: None, ..each("beeline", "dockerd", 2.0) }];

pub(super) const CONTAINERS: &[Goal] =
    &[each("beeline", "bridge", 1.0), each("beeline", "bridge, iptables", 1.15)];

pub(super) const OUTSIDE: &[Goal] = &[each("beeline", "routed", 0.95), each("beeline", "iptables", 1.0)];

pub(super) const ACCELERATED: &[Goal] =
    &[accelerated("accelerated", 1.3), accelerated("accelerated, from the host", 1.5)];
