//! What the exporter is told: the running containers and the datapath's own figures.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::Observed;

/// Everything one scrape needs to know.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The running containers.
    pub containers: Vec<Target>,
    /// How many containers are in which state.
    pub states: StateCounts,
    /// The host as a whole.
    pub host: Host,
    /// Images in the store.
    pub images: u64,
    /// Events that were published.
    pub events: u64,
    /// The datapath's own counters; `None` while it is not loaded.
    pub datapath: Option<Datapath>,
    /// What containers asked the resolver.
    pub resolver: Resolver,
}

/// The host as a whole.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The roots of the hierarchies.
    pub cgroup: CgroupDirs,
    /// The interfaces that are not containers'.
    pub interfaces: Vec<InterfaceCounters>,
}

/// One running container.
#[derive(Debug, Clone)]
pub struct Target {
    /// The container's id, 64 hexadecimal digits.
    pub id: String,
    /// The container's name, without a leading slash.
    pub name: String,
    /// The image as the user named it.
    pub image: String,
    /// The container's labels; exported as `container_label_KEY`.
    pub labels: BTreeMap<String, String>,
    /// Where the container's control groups are.
    pub cgroup: CgroupDirs,
    /// When init was started.
    pub started_at: SystemTime,
    /// How often its restart policy has started it again.
    pub restarts: u64,
    /// The directory that holds what it has written.
    pub layer: PathBuf,
    /// The limits the user asked for.
    pub limits: Limits,
    /// The container's interfaces, as the container sees them.
    pub interfaces: Vec<InterfaceCounters>,
    /// What its sockets and processes did.
    pub observed: Observed,
    /// What its health check says.
    pub health: HealthState,
    /// Its traffic by protocol and peer, where there was any.
    pub traffic: Vec<Volume>,
}

/// What a container's health check says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HealthState {
    /// It has none.
    #[default]
    Unchecked,
    /// It has not succeeded yet, or fails.
    Unhealthy,
    /// It succeeds.
    Healthy,
}

/// Traffic of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// `sent` or `received`.
    pub direction: &'static str,
    /// The protocol's name.
    pub protocol: &'static str,
    /// With whom.
    pub peer: &'static str,
    /// How many bytes.
    pub bytes: u64,
    /// How many packets.
    pub packets: u64,
}

/// A container's directory in each cgroup hierarchy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CgroupDirs {
    /// The path below the hierarchies' roots, exported as the label `id` like cAdvisor's.
    pub path: String,
    /// The directory in the cgroup2 hierarchy. On a hybrid host it carries no controllers.
    pub unified: Option<PathBuf>,
    /// The directory of each version 1 controller, by the controller's name. Empty on a unified host.
    pub v1: BTreeMap<String, PathBuf>,
}

/// The limits of a container; `None` is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Memory below which the container is pressed when memory is short.
    pub memory_reservation_bytes: Option<u64>,
    /// Memory and swap together.
    pub memory_swap_bytes: Option<u64>,
    /// CPU time per period in microseconds.
    pub cpu_quota_us: Option<i64>,
    /// The CPU period in microseconds.
    pub cpu_period_us: Option<u64>,
    /// CPU shares (1024 is the default weight).
    pub cpu_shares: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// Counters of one interface, from the container's point of view: received is what reached the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InterfaceCounters {
    /// The interface's name inside the container.
    pub interface: String,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets to the container that were dropped.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets from the container that were dropped.
    pub tx_dropped: u64,
}

/// How many containers are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateCounts {
    /// Running containers.
    pub running: u64,
    /// Paused containers.
    pub paused: u64,
    /// Containers that are neither running nor paused.
    pub stopped: u64,
}

/// The datapath's own figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Datapath {
    /// Packets dropped, by the reason's name.
    pub drops: Vec<(String, u64)>,
    /// Connections tracked now.
    pub conntrack_entries: u64,
    /// Connections that can be tracked.
    pub conntrack_capacity: u64,
    /// Published ports or ranges.
    pub publishes: Vec<Publish>,
    /// The daemon's rules for all of them.
    pub daemon_rules: Vec<Rule>,
    /// Networks with a device.
    pub networks: Vec<Network>,
    /// How often the programs ran, where that is counted.
    pub programs: Vec<ProgramRuns>,
    /// What the programs, or the daemon, could not tell of flows: what, why, and how much.
    pub event_losses: Vec<(&'static str, &'static str, u64)>,
}

/// How often a program ran in the kernel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProgramRuns {
    /// The program's name.
    pub program: &'static str,
    /// Its runs.
    pub runs: u64,
    /// How long they took together, in seconds.
    pub seconds: f64,
}

/// A published port or range, and what came through it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publish {
    /// The container's name.
    pub container: String,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The host's address.
    pub host_ip: String,
    /// The host's port, or `FIRST-LAST`.
    pub host_port: String,
    /// Connections and flows that were made.
    pub connections: u64,
    /// New ones that a rule refused.
    pub refused: u64,
    /// Packets to the container.
    pub packets: u64,
    /// Bytes to the container.
    pub bytes: u64,
    /// How often rules decided, by scope and action.
    pub rule_hits: BTreeMap<(String, String), u64>,
}

/// A rule by source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// `allow` or `deny`.
    pub action: String,
    /// The subnet; empty for all that no other rule names.
    pub source: String,
    /// How often it decided.
    pub hits: u64,
}

/// A network, and how much it uses of the table of connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// The network's name.
    pub name: String,
    /// Connections of its members.
    pub flows: u64,
    /// How many they may be.
    pub quota: u64,
}

/// What containers asked the resolver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Questions by who answers them.
    pub queries: Vec<(&'static str, u64)>,
    /// Questions without an answer, by reason.
    pub failures: Vec<(&'static str, u64)>,
}
