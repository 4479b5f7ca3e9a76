//! What is remembered of a container, and what is told about it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::cgroup::{Cgroup, Hierarchy};
use crate::container::Names;

/// The content of a container's `state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub(super) oci_version: String,
    pub(super) id: String,
    /// Init's; 0 before there is one.
    pub(super) pid: i32,
    /// When init was born, in the kernel's ticks: its number may be another's later.
    pub(super) born: u64,
    /// `create` has not ended.
    pub(super) creating: bool,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    pub(super) created: Timestamp,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) cgroup: String,
    pub(super) names: Names,
}

impl Record {
    /// The container's group.
    pub(super) fn cgroup(&self) -> Result<Cgroup, Error> {
        Ok(Hierarchy::detect()?.cgroup(&self.cgroup)?)
    }
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// `create` works on it.
    Creating,
    /// Init waits to be started.
    Created,
    /// The command was executed.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Init has ended.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

/// A container's state, as the specification has it, with what runc adds.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The version of the specification that the configuration names.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Init's process id; 0 if there is none.
    pub pid: i32,
    /// What it does.
    pub status: Status,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// The root's directory.
    pub rootfs: PathBuf,
    /// When it was created.
    pub created: Timestamp,
    /// The configuration's annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Whose it is: empty, as only root runs containers.
    pub owner: String,
}

impl Summary {
    pub(super) fn new(record: &Record, status: Status) -> Self {
        Self {
            oci_version: record.oci_version.clone(),
            id: record.id.clone(),
            pid: if status == Status::Stopped { 0 } else { record.pid },
            status,
            bundle: record.bundle.clone(),
            rootfs: record.rootfs.clone(),
            created: record.created,
            annotations: record.annotations.clone(),
            owner: String::new(),
        }
    }

    /// As hooks and supervisors of filters read it.
    pub(super) fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and maps of strings always have a form.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
