//! Mounts: as asked for, and as an inspection lists them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::go::{is_zero, null_is_default};

/// One element of `HostConfig.Mounts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`, `image`, `npipe` or `cluster`.
    #[serde(rename = "Type", skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub kind: String,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub source: String,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub target: String,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub read_only: bool,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub consistency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// Options of a bind mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BindOptions {
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub propagation: String,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub non_recursive: bool,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub create_mountpoint: bool,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub read_only_non_recursive: bool,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub read_only_force_recursive: bool,
}

/// Options of a volume mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeOptions {
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub no_copy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<Driver>,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub subpath: String,
}

/// A driver of volumes, by name, and its options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Driver {
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<BTreeMap<String, String>>,
}

/// Options of a tmpfs mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TmpfsOptions {
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub size_bytes: i64,
    /// Permission bits, as a number.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub mode: u32,
    /// A key each, with a value if it has one.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub options: Vec<Vec<String>>,
}

/// One element of an inspection's `Mounts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountPoint {
    #[serde(rename = "Type", skip_serializing_if = "is_zero")]
    pub kind: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub name: String,
    pub source: String,
    pub destination: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub driver: String,
    pub mode: String,
    #[serde(rename = "RW")]
    pub rw: bool,
    pub propagation: String,
}
