//! What a user asks for when creating a container. Fields are Docker's, named as Rust names things; a zero, an empty
//! text or an empty list means "not given" where Docker's do.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::network::EndpointConfig;

/// A request to create a container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CreateContainer {
    /// The name; one is invented if not given.
    pub name: Option<String>,
    /// The platform the image must have, as in `linux/amd64`.
    pub platform: Option<String>,
    /// Everything else.
    pub config: ContainerConfig,
    /// The networks to be on, by name, beside the one of the network mode; with wishes for that one, too.
    pub networks: BTreeMap<String, EndpointConfig>,
}

/// What the container is to be. After creation, merged with what its image says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerConfig {
    /// The image's name or id as the user gave it.
    pub image: String,
    /// The host name inside; the first 12 digits of the id if empty.
    pub hostname: String,
    /// The domain name inside.
    pub domainname: String,
    /// `user[:group]` by name or number.
    pub user: String,
    /// Whether the creating client attaches to standard input.
    pub attach_stdin: bool,
    /// Whether the creating client attaches to standard output.
    pub attach_stdout: bool,
    /// Whether the creating client attaches to standard error.
    pub attach_stderr: bool,
    /// Ports the container says it serves, as `80/tcp`.
    pub exposed_ports: BTreeSet<String>,
    /// Standard streams are a terminal.
    pub tty: bool,
    /// Standard input is kept open.
    pub open_stdin: bool,
    /// Standard input ends when the first attached client goes.
    pub stdin_once: bool,
    /// `KEY=value`; a bare `KEY` removes what the image sets.
    pub env: Vec<String>,
    /// The command, or the entry point's arguments.
    pub cmd: Option<Vec<String>>,
    /// What is executed, before the command.
    pub entrypoint: Option<Vec<String>>,
    /// The working directory, absolute.
    pub working_dir: String,
    /// Paths inside that are volumes.
    pub volumes: BTreeSet<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the container to stop, by name or number; SIGTERM if empty.
    pub stop_signal: String,
    /// Seconds between that signal and SIGKILL; negative waits for ever; 10 if not given.
    pub stop_timeout: Option<i64>,
    /// No network interface at all.
    pub network_disabled: bool,
    /// The hardware address on the network of the network mode.
    pub mac_address: String,
    /// How the container's health is probed.
    pub healthcheck: Option<Healthcheck>,
    /// The host's side.
    pub host: HostConfig,
}

/// What concerns the host: limits, mounts, network, security.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostConfig {
    /// `source:destination[:options]`.
    pub binds: Vec<String>,
    /// Mounts in Docker's long form.
    pub mounts: Vec<MountRequest>,
    /// The driver of volumes that `binds` and the image name.
    pub volume_driver: String,
    /// Containers whose volumes and bind mounts are taken over: `container[:ro]`.
    pub volumes_from: Vec<String>,
    /// Paths inside that are temporary file systems, with their options.
    pub tmpfs: BTreeMap<String, String>,
    /// Host ports by container port (`80/tcp`).
    pub port_bindings: BTreeMap<String, Vec<PortBinding>>,
    /// Publish every exposed port on a free host port.
    pub publish_all_ports: bool,
    /// `bridge`, `default`, `none`, `host`, `container:` and a container, or a network's name.
    pub network_mode: String,
    /// `CONTAINER` or `CONTAINER:NAME`: names of other containers on the default network.
    pub links: Vec<String>,
    /// Remove the container when it exits.
    pub auto_remove: bool,
    /// When the container is started again by itself.
    pub restart_policy: RestartPolicy,
    /// Where output goes.
    pub log: LogDriver,
    /// Name servers instead of the host's.
    pub dns: Vec<String>,
    /// Resolver options instead of the host's.
    pub dns_options: Vec<String>,
    /// Search domains instead of the host's.
    pub dns_search: Vec<String>,
    /// `name:address` lines for /etc/hosts.
    pub extra_hosts: Vec<String>,
    /// Additional groups of the process.
    pub group_add: Vec<String>,
    /// Capabilities beyond Docker's default ones.
    pub cap_add: Vec<String>,
    /// Capabilities to go without.
    pub cap_drop: Vec<String>,
    /// All capabilities and devices, no seccomp filter, nothing masked.
    pub privileged: bool,
    /// `no-new-privileges`, `seccomp=unconfined`, ….
    pub security_opt: Vec<String>,
    /// The root file system is read-only.
    pub readonly_rootfs: bool,
    /// Paths to hide; Docker's list if not given.
    pub masked_paths: Option<Vec<String>>,
    /// Paths to make read-only; Docker's list if not given.
    pub readonly_paths: Option<Vec<String>>,
    /// Memory limit in bytes.
    pub memory: i64,
    /// Memory and swap together in bytes; -1 is unlimited.
    pub memory_swap: i64,
    /// Memory in bytes below which the container is pressed when memory is short.
    pub memory_reservation: i64,
    /// CPUs in units of 10⁻⁹.
    pub nano_cpus: i64,
    /// Relative weight; 1024 is everyone's.
    pub cpu_shares: i64,
    /// CPU time in microseconds per period.
    pub cpu_quota: i64,
    /// The period in microseconds.
    pub cpu_period: i64,
    /// CPUs to run on, as `0-2,4`.
    pub cpuset_cpus: String,
    /// Memory nodes to use.
    pub cpuset_mems: String,
    /// Processes and threads; 0 and -1 are unlimited.
    pub pids_limit: Option<i64>,
    /// Block IO relative to others: 10 to 1000.
    pub blkio_weight: u16,
    /// The same on single devices.
    pub blkio_weight_device: Vec<DeviceLimit>,
    /// Bytes a second read from devices.
    pub blkio_read_bps: Vec<DeviceLimit>,
    /// Bytes a second written to devices.
    pub blkio_write_bps: Vec<DeviceLimit>,
    /// Reads a second from devices.
    pub blkio_read_iops: Vec<DeviceLimit>,
    /// Writes a second to devices.
    pub blkio_write_iops: Vec<DeviceLimit>,
    /// How readily memory is swapped: 0 to 100; -1 is the host's.
    pub memory_swappiness: Option<i64>,
    /// Nothing is killed for want of memory: processes wait for it.
    pub oom_kill_disable: bool,
    /// The period of real-time CPU time in microseconds.
    pub cpu_realtime_period: i64,
    /// Real-time CPU time in microseconds a period.
    pub cpu_realtime_runtime: i64,
    /// Rules for devices, as `c 42:* rmw`.
    pub device_cgroup_rules: Vec<String>,
    /// -1000 to 1000.
    pub oom_score_adj: i64,
    /// Resource limits.
    pub ulimits: Vec<Ulimit>,
    /// Host devices made available.
    pub devices: Vec<DeviceRequest>,
    /// Size of /dev/shm in bytes; 64 MiB if 0.
    pub shm_size: i64,
    /// Kernel parameters of the container's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// `host` shares the host's processes.
    pub pid_mode: String,
    /// `host`, `private`, `shareable`.
    pub ipc_mode: String,
    /// `host` shares the host's name.
    pub uts_mode: String,
    /// `host` or `private`.
    pub cgroupns_mode: String,
    /// `host` leaves users and groups the host's where the daemon maps them.
    pub userns_mode: String,
    /// The control group above the container's.
    pub cgroup_parent: String,
    /// A small init that reaps is put before the command.
    pub init: Option<bool>,
    /// The OCI runtime's name.
    pub runtime: String,
    /// Notes nobody interprets.
    pub annotations: BTreeMap<String, String>,
    /// Rows and columns of the terminal at start.
    pub console_size: Option<(u16, u16)>,
}

/// One host address and port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortBinding {
    /// The host's address; empty is every one.
    pub host_ip: String,
    /// A port, a range `8000-8010` to choose from, or empty for any free one.
    pub host_port: String,
}

/// When a container is started again by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartPolicy {
    /// Empty or `no`, `always`, `unless-stopped`, `on-failure`.
    pub name: String,
    /// With `on-failure`: how often at most; 0 is without limit.
    pub maximum_retry_count: i64,
}

/// A log driver's name and options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogDriver {
    /// `json-file` (also if empty), `local`, `syslog`, `journald` or `none`.
    pub driver: String,
    /// What the driver has: `max-size`, `mode`, …
    pub options: BTreeMap<String, String>,
}

/// A mount in Docker's long form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountRequest {
    /// `bind`, `tmpfs`, `volume`.
    pub kind: String,
    /// The host's path, or the volume's name.
    pub source: String,
    /// The path inside.
    pub target: String,
    /// Not writable.
    pub read_only: bool,
    /// A bind mount's propagation; `rprivate` if empty.
    pub propagation: String,
    /// Make a bind mount's source if it does not exist.
    pub create_mountpoint: bool,
    /// Leave out what is mounted below a bind mount's source.
    pub non_recursive: bool,
    /// Read-only is the bind mount alone, not what is mounted below it.
    pub read_only_non_recursive: bool,
    /// Read-only is everything, whatever it takes.
    pub read_only_force_recursive: bool,
    /// Do not copy what the image has there into an empty volume.
    pub no_copy: bool,
    /// What is mounted of a volume; empty for all.
    pub subpath: String,
    /// Labels of a volume that is made.
    pub volume_labels: BTreeMap<String, String>,
    /// Driver of a volume that is made.
    pub volume_driver: String,
    /// Options of that driver.
    pub volume_options: BTreeMap<String, String>,
    /// A tmpfs' size in bytes.
    pub tmpfs_size: i64,
    /// A tmpfs' mode.
    pub tmpfs_mode: u32,
    /// Further options of a tmpfs, each a key, with a value if it has one.
    pub tmpfs_options: Vec<Vec<String>>,
}

/// A resource limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ulimit {
    /// `nofile`, `nproc`, …
    pub name: String,
    /// The limit that applies.
    pub soft: i64,
    /// The limit up to which the process may raise it; -1 is unlimited.
    pub hard: i64,
}

/// A weight or a limit of a block device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceLimit {
    /// The device's path on the host.
    pub path: String,
    /// The weight, or the bytes or operations a second.
    pub rate: u64,
}

/// A host device made available inside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceRequest {
    /// The host's path.
    pub path_on_host: String,
    /// The path inside.
    pub path_in_container: String,
    /// Of `rwm`.
    pub cgroup_permissions: String,
}

/// How a container's health is probed; times in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Healthcheck {
    /// `NONE`, `CMD`, `CMD-SHELL` and arguments.
    pub test: Vec<String>,
    /// Between two probes.
    pub interval: i64,
    /// Until a probe counts as failed.
    pub timeout: i64,
    /// Failures in a row that make it unhealthy.
    pub retries: i64,
    /// During which failures do not count.
    pub start_period: i64,
    /// Between two probes in that period.
    pub start_interval: i64,
}
