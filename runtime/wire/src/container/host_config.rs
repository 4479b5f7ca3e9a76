//! What a container asks of its host: limits, mounts, ports, namespaces.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::mount::Mount;
use crate::go::{StrSlice, is_zero, null_is_default};

/// Host addresses and ports by container port: `{"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}`.
/// A port that is exposed only maps to null.
pub type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

/// One host side of a published port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortBinding {
    #[serde(rename = "HostIp", deserialize_with = "null_is_default")]
    pub host_ip: String,
    /// A port, a range `8000-8010` in requests, or empty for any free port.
    #[serde(rename = "HostPort", deserialize_with = "null_is_default")]
    pub host_port: String,
}

/// A container's host configuration. Answers carry every field, as clients read them unasked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    pub binds: Option<Vec<String>>,
    #[serde(rename = "ContainerIDFile", deserialize_with = "null_is_default")]
    pub container_id_file: String,
    #[serde(deserialize_with = "null_is_default")]
    pub log_config: LogConfig,
    /// `default`, `bridge`, `host`, `none`, `container:ID` or a network's name.
    #[serde(deserialize_with = "null_is_default")]
    pub network_mode: String,
    #[serde(deserialize_with = "null_is_default")]
    pub port_bindings: PortMap,
    #[serde(deserialize_with = "null_is_default")]
    pub restart_policy: RestartPolicy,
    #[serde(deserialize_with = "null_is_default")]
    pub auto_remove: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub volume_driver: String,
    pub volumes_from: Option<Vec<String>>,
    /// Height and width, in that order.
    #[serde(deserialize_with = "null_is_default")]
    pub console_size: [u32; 2],
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
    pub cap_add: Option<StrSlice>,
    pub cap_drop: Option<StrSlice>,
    #[serde(deserialize_with = "null_is_default")]
    pub cgroupns_mode: String,
    pub dns: Option<Vec<String>>,
    pub dns_options: Option<Vec<String>>,
    pub dns_search: Option<Vec<String>>,
    pub extra_hosts: Option<Vec<String>>,
    pub group_add: Option<Vec<String>>,
    #[serde(deserialize_with = "null_is_default")]
    pub ipc_mode: String,
    #[serde(deserialize_with = "null_is_default")]
    pub cgroup: String,
    pub links: Option<Vec<String>>,
    #[serde(deserialize_with = "null_is_default")]
    pub oom_score_adj: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub pid_mode: String,
    #[serde(deserialize_with = "null_is_default")]
    pub privileged: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub publish_all_ports: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub readonly_rootfs: bool,
    pub security_opt: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub storage_opt: BTreeMap<String, String>,
    /// Mount options by path.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub tmpfs: BTreeMap<String, String>,
    #[serde(rename = "UTSMode", deserialize_with = "null_is_default")]
    pub uts_mode: String,
    #[serde(deserialize_with = "null_is_default")]
    pub userns_mode: String,
    #[serde(deserialize_with = "null_is_default")]
    pub shm_size: i64,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub sysctls: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub runtime: String,
    #[serde(deserialize_with = "null_is_default")]
    pub isolation: String,
    #[serde(flatten)]
    pub resources: Resources,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub mounts: Vec<Mount>,
    /// Null asks for the default list, an empty list for none.
    pub masked_paths: Option<Vec<String>>,
    pub readonly_paths: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
}

/// `POST /containers/{id}/update`: zero and empty mean that a limit stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateRequest {
    #[serde(flatten)]
    pub resources: Resources,
    #[serde(deserialize_with = "null_is_default")]
    pub restart_policy: RestartPolicy,
}

/// The answer to an update.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateResponse {
    #[serde(deserialize_with = "null_is_default")]
    pub warnings: Vec<String>,
}

/// The cgroup limits of a container; in JSON part of the host configuration itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Resources {
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_shares: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub memory: i64,
    /// CPUs in units of 10⁻⁹.
    #[serde(deserialize_with = "null_is_default")]
    pub nano_cpus: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub cgroup_parent: String,
    #[serde(deserialize_with = "null_is_default")]
    pub blkio_weight: u16,
    pub blkio_weight_device: Option<Vec<WeightDevice>>,
    pub blkio_device_read_bps: Option<Vec<ThrottleDevice>>,
    pub blkio_device_write_bps: Option<Vec<ThrottleDevice>>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: Option<Vec<ThrottleDevice>>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: Option<Vec<ThrottleDevice>>,
    /// Microseconds.
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_period: i64,
    /// Microseconds a period.
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_quota: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_realtime_period: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_realtime_runtime: i64,
    /// Such as `0-2,7`.
    #[serde(deserialize_with = "null_is_default")]
    pub cpuset_cpus: String,
    #[serde(deserialize_with = "null_is_default")]
    pub cpuset_mems: String,
    pub devices: Option<Vec<DeviceMapping>>,
    pub device_cgroup_rules: Option<Vec<String>>,
    pub device_requests: Option<Vec<DeviceRequest>>,
    #[serde(deserialize_with = "null_is_default")]
    pub memory_reservation: i64,
    /// Memory and swap together; -1 is unlimited swap.
    #[serde(deserialize_with = "null_is_default")]
    pub memory_swap: i64,
    pub memory_swappiness: Option<i64>,
    pub oom_kill_disable: Option<bool>,
    /// Null, 0 and -1 are no limit.
    pub pids_limit: Option<i64>,
    pub ulimits: Option<Vec<Ulimit>>,
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_count: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_percent: i64,
    #[serde(rename = "IOMaximumIOps", deserialize_with = "null_is_default")]
    pub io_maximum_iops: u64,
    #[serde(rename = "IOMaximumBandwidth", deserialize_with = "null_is_default")]
    pub io_maximum_bandwidth: u64,
}

/// How output is logged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    #[serde(rename = "Type", deserialize_with = "null_is_default")]
    pub kind: String,
    #[serde(rename = "Config", deserialize_with = "null_is_default")]
    pub config: BTreeMap<String, String>,
}

/// When to start a container again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    /// Empty, `no`, `always`, `unless-stopped` or `on-failure`.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    #[serde(deserialize_with = "null_is_default")]
    pub maximum_retry_count: i64,
}

/// A device's share of block IO.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WeightDevice {
    pub path: String,
    pub weight: u16,
}

/// A device's limit, in bytes or operations a second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ThrottleDevice {
    pub path: String,
    pub rate: u64,
}

/// A host device inside the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceMapping {
    pub path_on_host: String,
    pub path_in_container: String,
    /// Any of `rwm`.
    pub cgroup_permissions: String,
}

/// A request to a device driver, such as for GPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceRequest {
    pub driver: String,
    pub count: i64,
    #[serde(rename = "DeviceIDs")]
    pub device_ids: Option<Vec<String>>,
    pub capabilities: Option<Vec<Vec<String>>>,
    pub options: Option<BTreeMap<String, String>>,
}

/// A resource limit of the container's processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ulimit {
    /// Such as `nofile`.
    pub name: String,
    /// -1 is unlimited.
    pub hard: i64,
    pub soft: i64,
}
