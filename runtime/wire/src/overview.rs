//! `GET /beeline/stats`: what all containers use, a line a second, each an array of these. Beeline's own.

use serde::{Deserialize, Serialize};

/// A container at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerOverview {
    pub id: String,
    /// Without a leading slash.
    pub name: String,
    pub image: String,
    /// Docker's word: `running`, `exited`.
    pub state: String,
    /// `starting`, `healthy` or `unhealthy`; empty if it is not probed.
    pub health: String,
    /// How often its policy has started it again.
    pub restarts: u64,
    /// None unless it runs.
    pub usage: Option<UsageOverview>,
}

/// What a container had used at one moment: sums since its start, but for memory and tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UsageOverview {
    /// When it was read, in nanoseconds since the epoch.
    pub time: i64,
    /// Processor time in nanoseconds.
    pub cpu: u64,
    /// Bytes, without the page cache that can be dropped at once.
    pub memory: u64,
    /// The host's memory when there is none.
    pub memory_limit: u64,
    /// Bytes over all its interfaces.
    pub received: u64,
    pub transmitted: u64,
    /// Bytes over all block devices.
    pub read: u64,
    pub written: u64,
    /// Processes and threads.
    pub tasks: u64,
}
