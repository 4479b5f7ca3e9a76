//! What is observed of a container.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::container::health::Health;

/// Where in its life a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// It has not run yet, or its start failed.
    #[default]
    Created,
    /// It is being built.
    Starting,
    /// Its init executes the command.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It was asked to stop.
    Stopping,
    /// Its init has exited, and it is started again in a moment.
    Restarting,
    /// Its init has exited.
    Exited,
    /// It is being removed.
    Removing,
    /// Its removal failed half way.
    Dead,
}

impl ContainerState {
    /// Docker's word: a container that is asked to stop still runs, one that is being built is created.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created | Self::Starting => "created",
            Self::Running | Self::Stopping => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Dead => "dead",
        }
    }

    /// Whether its init executes the command.
    #[must_use]
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Stopping)
    }

    /// What Docker calls running: also between two runs that a restart policy wants.
    #[must_use]
    pub fn is_up(self) -> bool {
        self.is_running() || self == Self::Restarting
    }
}

/// What is observed of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    /// Where in its life it is.
    pub state: ContainerState,
    /// Init's process id on the host; 0 unless running.
    pub pid: u32,
    /// How the last run ended: init's code, 128 + a signal's number, or 125 to 127 for a failed start.
    pub exit_code: i64,
    /// The signal that ended the last run.
    pub exit_signal: Option<i32>,
    /// Whether the kernel killed a process of it for want of memory in the last run.
    pub oom_killed: bool,
    /// Why the last start failed; empty otherwise.
    pub error: String,
    /// Its health, if it is probed.
    pub health: Option<Health>,
    /// When the last run began.
    pub started_at: Option<Timestamp>,
    /// How long the machine had been up when the present run began.
    pub began: Option<Duration>,
    /// When the last run ended.
    pub finished_at: Option<Timestamp>,
}

impl ContainerStatus {
    /// How long the present run has gone on.
    #[must_use]
    pub fn age(&self, now: Moment) -> Duration {
        now.since(self.started_at, self.began)
    }
}
