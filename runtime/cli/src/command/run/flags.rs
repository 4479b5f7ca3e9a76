//! The flags of `beeline run`, with Docker's names.

use std::path::PathBuf;

use beeline_wire::container::host_config::RestartPolicy;
use clap::Args;

use super::health::HealthFlags;
use super::isolation::Isolation;
use crate::attach::parse_keys;
use crate::mount::MountFlag;
use crate::network::NetworkFlag;
use crate::publish::Publish;
use crate::restart::parse_policy;
use crate::units::{memory_swap, parse_bytes, parse_cpus};

/// Flags of `beeline run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Leave the container running in the background and print its id
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Remove the container when it ends
    #[arg(long)]
    pub(crate) rm: bool,
    /// When to start it again by itself: no, always, unless-stopped, on-failure[:TIMES]
    #[arg(long, value_name = "POLICY", value_parser = parse_policy)]
    pub(crate) restart: Option<RestartPolicy>,
    /// Where output is kept: json-file, local, syslog, journald or none [default: the daemon's]
    #[arg(long, value_name = "DRIVER")]
    pub(crate) log_driver: Option<String>,
    /// An option of the log driver: NAME=VALUE; may be repeated
    #[arg(long, value_name = "OPTION")]
    pub(crate) log_opt: Vec<String>,
    /// Put a small init before the command, which hands signals on and reaps
    #[arg(long)]
    pub(crate) init: bool,
    /// Pass standard input on
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the container a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Publish a port or a range: [[ADDRESS:]HOST:]CONTAINER[/udp]; may be repeated
    #[arg(short, long, value_name = "PORTS")]
    pub(crate) publish: Vec<Publish>,
    /// Publish every port the image exposes to a free port of the host
    #[arg(short = 'P', long)]
    pub(crate) publish_all: bool,
    /// Expose a port without publishing it; may be repeated
    #[arg(long, value_name = "PORT")]
    pub(crate) expose: Vec<Publish>,
    /// Set a variable, or pass the client's own on: NAME=VALUE or NAME; may be repeated
    #[arg(short, long, value_name = "VARIABLE")]
    pub(crate) env: Vec<String>,
    /// Read variables from a file, one a line; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Mount a file or directory of the host, or a volume: [SOURCE:]TARGET[:ro]; may be repeated
    #[arg(short, long, value_name = "MOUNT")]
    pub(crate) volume: Vec<String>,
    /// Mount by name: type=bind|volume|tmpfs,source=SOURCE,target=TARGET[,readonly][,OPTION=VALUE...]; may be repeated
    #[arg(long, value_name = "MOUNT")]
    pub(crate) mount: Vec<MountFlag>,
    /// Mount what another container has mounted: CONTAINER[:ro]; may be repeated
    #[arg(long, value_name = "CONTAINER")]
    pub(crate) volumes_from: Vec<String>,
    /// The driver of volumes that are made
    #[arg(long, value_name = "DRIVER")]
    pub(crate) volume_driver: Option<String>,
    /// Mount a tmpfs: TARGET[:OPTIONS]; may be repeated
    #[arg(long, value_name = "MOUNT")]
    pub(crate) tmpfs: Vec<String>,
    /// Mount the root file system read-only
    #[arg(long)]
    pub(crate) read_only: bool,
    /// The container's name [default: a random one]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The container's host name [default: its id]
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// A network, none, host, or container:NAME; also as name=NAME,ip=ADDRESS,ip6=ADDRESS,mac-address=ADDRESS,alias=NAME,
    /// gw-priority=NUMBER; may be repeated
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    pub(crate) network: Vec<NetworkFlag>,
    /// Another name on the first network; may be repeated
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    pub(crate) network_alias: Vec<String>,
    /// The IPv4 address on the first network
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip: Option<String>,
    /// The IPv6 address on the first network
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip6: Option<String>,
    /// The hardware address on the first network
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) mac_address: Option<String>,
    /// A name for another container: CONTAINER[:NAME]; may be repeated
    #[arg(long, value_name = "LINK")]
    pub(crate) link: Vec<String>,
    /// Add a line to /etc/hosts: NAME:ADDRESS; may be repeated
    #[arg(long, value_name = "HOST")]
    pub(crate) add_host: Vec<String>,
    /// A name server; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) dns: Vec<String>,
    /// The most memory, such as 64m
    #[arg(short, long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) memory: Option<i64>,
    /// The most memory and swap together; -1 is unlimited swap
    #[arg(long, value_name = "BYTES", value_parser = memory_swap, allow_negative_numbers = true)]
    pub(crate) memory_swap: Option<i64>,
    /// The most processor time, in processors, such as 0.5
    #[arg(long, value_name = "NUMBER", value_parser = parse_cpus)]
    pub(crate) cpus: Option<i64>,
    /// Processor time relative to other containers; 1024 is the default
    #[arg(short, long, value_name = "WEIGHT")]
    pub(crate) cpu_shares: Option<i64>,
    /// The memory the container is pressed down to when memory is short
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) memory_reservation: Option<i64>,
    /// How readily memory is swapped, 0 to 100; cgroup v1 only
    #[arg(long, value_name = "PERCENT", allow_negative_numbers = true)]
    pub(crate) memory_swappiness: Option<i64>,
    /// Kill nothing for want of memory; cgroup v1 only
    #[arg(long)]
    pub(crate) oom_kill_disable: bool,
    /// Processor time in microseconds a period
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    pub(crate) cpu_quota: Option<i64>,
    /// The period in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_period: Option<i64>,
    /// Real-time processor time in microseconds a period; cgroup v1 only
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_rt_runtime: Option<i64>,
    /// The period of real-time processor time; cgroup v1 only
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_rt_period: Option<i64>,
    /// The processors to run on, such as 0-2,7
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    /// The memory nodes to use, such as 0,1
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_mems: Option<String>,
    /// Block IO relative to other containers: 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub(crate) blkio_weight: Option<u16>,
    /// The same on one device: DEVICE:WEIGHT; may be repeated
    #[arg(long, value_name = "WEIGHT")]
    pub(crate) blkio_weight_device: Vec<String>,
    /// The most bytes a second read from a device: DEVICE:BYTES; may be repeated
    #[arg(long, value_name = "LIMIT")]
    pub(crate) device_read_bps: Vec<String>,
    /// The most bytes a second written to a device: DEVICE:BYTES; may be repeated
    #[arg(long, value_name = "LIMIT")]
    pub(crate) device_write_bps: Vec<String>,
    /// The most reads a second from a device: DEVICE:NUMBER; may be repeated
    #[arg(long, value_name = "LIMIT")]
    pub(crate) device_read_iops: Vec<String>,
    /// The most writes a second to a device: DEVICE:NUMBER; may be repeated
    #[arg(long, value_name = "LIMIT")]
    pub(crate) device_write_iops: Vec<String>,
    /// A rule for devices, such as 'c 42:* rmw'; may be repeated
    #[arg(long, value_name = "RULE")]
    pub(crate) device_cgroup_rule: Vec<String>,
    /// The control group above the container's
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup_parent: Option<String>,
    /// The most processes and threads
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) pids_limit: Option<i64>,
    /// A resource limit: NAME=SOFT[:HARD]; may be repeated
    #[arg(long, value_name = "LIMIT")]
    pub(crate) ulimit: Vec<String>,
    /// The user and group: NAME or ID, with :GROUP if wanted
    #[arg(short, long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Another group of the user; may be repeated
    #[arg(long, value_name = "GROUP")]
    pub(crate) group_add: Vec<String>,
    /// The working directory
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// The program to run instead of the image's entry point
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// Set a label: NAME=VALUE; may be repeated
    #[arg(short, long, value_name = "LABEL")]
    pub(crate) label: Vec<String>,
    /// Add a capability, such as NET_ADMIN; may be repeated
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_add: Vec<String>,
    /// Drop a capability, or ALL; may be repeated
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_drop: Vec<String>,
    #[command(flatten)]
    pub(crate) isolation: Isolation,
    /// Give the container every capability and device
    #[arg(long)]
    pub(crate) privileged: bool,
    #[command(flatten)]
    pub(crate) health: HealthFlags,
    /// The keys that leave the container running [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS", value_parser = parse_keys)]
    pub(crate) detach_keys: Option<String>,
    /// The signal that `beeline stop` sends
    #[arg(long, value_name = "SIGNAL")]
    pub(crate) stop_signal: Option<String>,
    /// Seconds that `beeline stop` waits before SIGKILL
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) stop_timeout: Option<i64>,
    /// A kernel parameter of the container's namespaces: NAME=VALUE; may be repeated
    #[arg(long, value_name = "PARAMETER")]
    pub(crate) sysctl: Vec<String>,
    /// The image, and the command to run in it
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "IMAGE [COMMAND]"
    )]
    pub(crate) image_and_command: Vec<String>,
}

impl Run {
    /// The image's name; clap has made sure that there is one.
    pub(super) fn image(&self) -> &str {
        self.image_and_command.first().map_or("", String::as_str)
    }

    /// The command to run, empty for the image's own.
    pub(super) fn command(&self) -> &[String] {
        self.image_and_command.get(1..).unwrap_or_default()
    }
}
