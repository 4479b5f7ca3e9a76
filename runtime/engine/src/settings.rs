//! What the daemon is told about itself.

use std::path::PathBuf;

use beeline_net::{Acceleration, Guard, Rules, Timeouts, Watch};
use beeline_spawn::container::defaults;
use beeline_spawn::seccomp::docker_profile;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::container::config::{LogDriver, Ulimit};
use crate::error::Error;
use crate::identity::InstanceId;
use crate::remap::Remap;

/// How much the kernel side logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DatapathLog {
    /// Nothing.
    Off,
    /// What went wrong.
    Error,
    /// What may go wrong.
    #[default]
    Warn,
    /// Notable events.
    Info,
    /// Every decision.
    Debug,
    /// Every packet.
    Trace,
}

/// What confines containers that do not say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityDefaults {
    /// Which system calls they may make.
    pub seccomp: SeccompProfile,
    /// Whether their programs can gain no privileges by being executed.
    pub no_new_privileges: bool,
    /// Resource limits, beside those that a container has itself.
    pub ulimits: Vec<Ulimit>,
    /// Whose subordinate users and groups theirs are, in a user namespace of their own; none leaves them the host's.
    pub remap: Option<Remap>,
}

/// A seccomp profile for containers that name none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SeccompProfile {
    /// Docker's default.
    #[default]
    Builtin,
    /// None: every system call may be made.
    Unconfined,
    /// One of the administrator's.
    Custom {
        /// Where it was read from.
        path: PathBuf,
        /// Its content, in Docker's format.
        json: String,
    },
}

impl SeccompProfile {
    /// The profile in a file of Docker's format.
    ///
    /// # Errors
    /// The file cannot be read, or holds no such profile.
    pub fn read(path: PathBuf) -> Result<Self, Error> {
        let json = std::fs::read_to_string(&path).map_err(|source| Error::File {
            operation: "read the seccomp profile",
            path: path.clone(),
            source,
        })?;
        docker_profile(&json, &defaults::capabilities())
            .map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))?;
        Ok(Self::Custom { path, json })
    }

    /// What it is called: `builtin`, `unconfined` or its file.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Builtin => "builtin".to_owned(),
            Self::Unconfined => "unconfined".to_owned(),
            Self::Custom { path, .. } => path.display().to_string(),
        }
    }
}

/// A range of addresses that networks are cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPool {
    /// The range.
    pub base: IpNet,
    /// The length of the prefix of each network.
    pub size: u8,
}

/// The configuration of an engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Images, records and logs; survives a reboot.
    pub root: PathBuf,
    /// Sockets and locks; need not survive a reboot.
    pub run: PathBuf,
    /// Tells this engine's kernel objects from other engines'; derived from `root` by default.
    pub instance: Option<InstanceId>,
    /// The executable that is entered again as spawner, and the only file of the embedded image.
    pub exe: PathBuf,
    /// Where the BPF file system is, or is to be, mounted.
    pub bpffs: PathBuf,
    /// How much the kernel side logs.
    pub datapath_log: DatapathLog,
    /// How many connections can be tracked at once.
    pub conntrack_entries: u32,
    /// How long silent connections are remembered.
    pub conntrack_timeouts: Timeouts,
    /// The default network's subnet, and if it has a host's part the gateway's address; chosen to avoid the host's routes if
    /// not given.
    pub subnet: Option<Ipv4Net>,
    /// Whether the default network has IPv6 addresses.
    pub ipv6: bool,
    /// The default network's IPv6 subnet; a local one of this engine's own if not given.
    pub subnet6: Option<Ipv6Net>,
    /// What the subnets of networks are cut from; Docker's private ranges, and local IPv6 addresses of this engine's own, for a
    /// family without any.
    pub address_pools: Vec<AddressPool>,
    /// The default network's MTU in bytes; that of the default route if not given.
    pub mtu: Option<u32>,
    /// The host address a port is published on when the user names none.
    pub publish_address: std::net::IpAddr,
    /// Whether containers on the default network may talk to each other.
    pub icc: bool,
    /// Whether packets of the default network to the outside carry the host's address.
    pub masquerade: bool,
    /// Who may reach published ports of any network, and whom the guard keeps away.
    pub rules: Rules,
    /// Who may reach published ports of the default network.
    pub bridge_rules: Rules,
    /// The uplinks at which denied sources are dropped before anything else sees their packets.
    pub guard: Guard,
    /// The log driver of containers that name none, with its options.
    pub log: LogDriver,
    /// The control group above those of containers that name none; `/beeline/INSTANCE` if empty.
    pub cgroup_parent: String,
    /// What confines containers that do not say otherwise.
    pub security: SecurityDefaults,
    /// Whether connections between members of the default network go past the network.
    pub bridge_accelerate: Acceleration,
    /// Whether those of the host itself with members of such networks do, too.
    pub accelerate_host: bool,
    /// What is measured beyond what costs nothing.
    pub watch: Watch,
}

impl EngineConfig {
    /// The configuration with Beeline's defaults.
    #[must_use]
    pub fn new(root: PathBuf, run: PathBuf, exe: PathBuf) -> Self {
        Self {
            root,
            run,
            exe,
            instance: None,
            bpffs: "/sys/fs/bpf".into(),
            datapath_log: DatapathLog::default(),
            conntrack_entries: 262_144,
            conntrack_timeouts: Timeouts::NORMAL,
            subnet: None,
            ipv6: false,
            subnet6: None,
            address_pools: Vec::new(),
            mtu: None,
            publish_address: std::net::Ipv4Addr::UNSPECIFIED.into(),
            icc: true,
            masquerade: true,
            rules: Rules::default(),
            bridge_rules: Rules::default(),
            guard: Guard::Off,
            log: LogDriver::default(),
            cgroup_parent: String::new(),
            security: SecurityDefaults::default(),
            bridge_accelerate: Acceleration::Off,
            accelerate_host: false,
            watch: Watch::default(),
        }
    }
}
