//! What is stored of a container: what was asked for, and what the next daemon has to know.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use beeline_net::Endpoint;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::container::config::ContainerConfig;
use crate::container::mounts::{self, UserMount};
use crate::container::ports::Published;
use crate::container::status::ContainerStatus;
use crate::container::view::ContainerPaths;
use crate::identity::{ContainerId, ContainerName};
use crate::network::{EndpointConfig, Lease};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: ContainerId,
    pub(crate) name: ContainerName,
    pub(crate) created: Timestamp,
    /// `sha256:…`.
    pub(crate) image_id: String,
    pub(crate) os: String,
    pub(crate) config: Arc<ContainerConfig>,
    /// The networks it is to be on, by name, with its wishes there. None with a mode that has no networks; else with none,
    /// the mode's at the next start.
    #[serde(default)]
    pub(crate) networks: BTreeMap<String, EndpointConfig>,
    /// What is mounted, with the names of the volumes. None in a record of a Beeline without volumes.
    #[serde(default)]
    pub(crate) mounts: Option<Arc<Vec<UserMount>>>,
}

impl Record {
    /// What is mounted.
    pub(crate) fn mounts(&self) -> Arc<Vec<UserMount>> {
        // A configuration that was accepted has readable mounts.
        self.mounts.clone().unwrap_or_else(|| Arc::new(mounts::parse(&self.config).unwrap_or_default()))
    }
}

/// What was observed last, and the journal of what was made for the container in the kernel. It is written before
/// anything is made: after a crash it says what to look for. Control group and device are named for the container's
/// id, so they need no mention.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Runtime {
    pub(crate) status: ContainerStatus,
    /// Whether there may be kernel objects, a shim and a run directory.
    pub(crate) journalled: bool,
    /// Its place on networks, by their ids.
    pub(crate) connections: BTreeMap<String, Connection>,
    /// Its addresses on a network that it is being put on, or taken off, while it runs: after a crash there is no such
    /// connection, but its default route, ports and files may not know.
    pub(crate) moving: Option<Lease>,
    /// Ports that are open while it runs.
    pub(crate) published: Vec<Published>,
    /// Ports it had in the last run, which it gets again when its restart policy starts it.
    pub(crate) reserved: Vec<Published>,
    /// How often its restart policy has started it since the user did.
    pub(crate) restart_count: u64,
    /// Whether the user wanted the end of the last run.
    pub(crate) stopped: bool,
}

/// A container's place on a network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Connection {
    /// The addresses; they survive a stop.
    pub(crate) lease: Lease,
    /// The connection while it runs.
    pub(crate) endpoint: Option<Endpoint>,
}

impl Runtime {
    /// The connections that are.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.connections.values().filter_map(|connection| connection.endpoint.as_ref())
    }
}

/// The container's control group, below every hierarchy's root.
pub(crate) fn cgroup_path(instance: &str, parent: &str, id: &ContainerId) -> String {
    match parent.trim_matches('/') {
        "" => format!("/beeline/{instance}/{id}"),
        parent => format!("/{parent}/{id}"),
    }
}

/// The directory of all containers.
pub(crate) fn containers_dir(root: &Path) -> std::path::PathBuf {
    root.join("containers")
}

/// A container's files below `root`.
pub(crate) fn paths(root: &Path, record: &Record, layers: Vec<std::path::PathBuf>) -> ContainerPaths {
    let directory = containers_dir(root).join(record.id.as_str());
    let logged = record.config.host.log.format().is_some();
    ContainerPaths {
        hosts: directory.join("hosts"),
        hostname: directory.join("hostname"),
        resolv_conf: directory.join("resolv.conf"),
        log: if logged { directory.join("log").join("container.log") } else { Default::default() },
        upper: directory.join("upper"),
        work: directory.join("work"),
        layers,
        directory,
    }
}
