//! What the rest of the crate tells the datapath, and what it answers.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

pub use beeline_abi::{
    DropReason, EndpointCounters, Histogram, LAYOUT_VERSION, PublishCounters, RuleSets, Timeouts,
};

use crate::{
    Families,
    rules::{Action, Rules},
};

/// How an instance's datapath is set up.
#[derive(Clone, Debug)]
pub struct DatapathConfig {
    /// The instance's id: names its folder of pins.
    pub instance: String,
    /// Where a BPF file system is, or is to be mounted: usually `/sys/fs/bpf`.
    pub bpffs: PathBuf,
    /// The root of the cgroup2 hierarchy: the programs at the sockets attach there.
    pub cgroup2: PathBuf,
    /// The size of the table of flows; a translated flow takes two entries. Kept by an existing table.
    pub conntrack_entries: u32,
    /// How long silent flows are remembered.
    pub timeouts: Timeouts,
    /// How much the programs tell.
    pub log_level: LogLevel,
    /// What is measured beyond what costs nothing.
    pub watch: Watch,
}

/// What is measured only where it is asked for, as it costs something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// How long containers wait for processors and block devices.
    pub latencies: bool,
    /// How often the BPF programs ran, and how long. The kernel counts for all programs of the machine, then.
    pub program_runs: bool,
}

/// How much the programs tell; decided when they are loaded, and free of cost below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    #[default]
    Off = 0,
    /// What should not happen.
    Warn = 2,
    /// Each new flow and each refused packet.
    Debug = 4,
}

/// A device towards the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkSpec {
    /// The device.
    pub ifindex: u32,
    /// Its addresses; the first of a family is what masqueraded packets carry.
    pub addresses: Vec<IpAddr>,
    /// Bytes of the largest IP packet.
    pub mtu: u32,
    /// Whether it carries bare IP packets, without an Ethernet header (tun, WireGuard).
    pub layer3: bool,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Its id within the instance.
    pub id: u32,
    /// The device that holds the gateway's address.
    pub gateway_ifindex: u32,
    /// That device's hardware address.
    pub gateway_mac: [u8; 6],
    /// The IPv4 addresses, and the gateway's.
    pub ipv4: Option<(Ipv4Net, Ipv4Addr)>,
    /// The IPv6 addresses, and the gateway's.
    pub ipv6: Option<(Ipv6Net, Ipv6Addr)>,
    /// Bytes of the largest IP packet.
    pub mtu: u32,
    /// Whether members may talk to each other.
    pub icc: bool,
    /// Whether the network has no way outside.
    pub internal: bool,
    /// Whether packets to the outside carry the uplink's address.
    pub masquerade: bool,
    /// The families whose addresses are reachable from outside; packets keep them on their way there.
    pub routed: Families,
    /// How many flows the members may have, together; without it, three quarters of what the table holds.
    pub flow_quota: Option<u32>,
    /// Who may reach the published ports of its members.
    pub rules: Rules,
}

/// A container's end in a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address. The link-local address of its hardware address is its own too, then.
    pub ipv6: Option<Ipv6Addr>,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// The host's end of its veth pair.
    pub host_ifindex: u32,
    /// The network's id.
    pub network: u32,
}

/// A program that is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramStatus {
    /// Its name.
    pub name: &'static str,
    /// The kernel's number for it, as bpftool(8) takes it.
    pub id: u32,
    /// How many instructions the verifier processed before it let it run.
    pub verified_instructions: u32,
    /// How often it ran while the kernel counted.
    pub runs: u64,
    /// How long these runs took together.
    pub run_time: Duration,
}

/// A transport protocol that ports can be published for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The IP protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => beeline_abi::ip::TCP,
            Self::Udp => beeline_abi::ip::UDP,
            Self::Sctp => beeline_abi::ip::SCTP,
        }
    }

    /// The protocol of an IP protocol number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            beeline_abi::ip::TCP => Some(Self::Tcp),
            beeline_abi::ip::UDP => Some(Self::Udp),
            beeline_abi::ip::SCTP => Some(Self::Sctp),
            _ => None,
        }
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A published port or interval of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Publish {
    /// The protocol.
    pub protocol: Protocol,
    /// The host's address; unspecified (`0.0.0.0`, `::`) for all of its family, the loopback included.
    pub host_ip: IpAddr,
    /// The first port of the host.
    pub host_first: u16,
    /// The last port of the host, inclusive.
    pub host_last: u16,
    /// The container's address, of the same family.
    pub container_ip: IpAddr,
    /// The container's port behind the first one; the others follow.
    pub container_first: u16,
}

impl Publish {
    /// Whether both would claim a port of the same address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.host_first <= other.host_last
            && other.host_first <= self.host_last
            && self.host_ip.is_ipv4() == other.host_ip.is_ipv4()
            && (self.host_ip == other.host_ip
                || self.host_ip.is_unspecified()
                || other.host_ip.is_unspecified())
    }
}

impl std::fmt::Display for Publish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host_ip {
            IpAddr::V4(address) => write!(f, "{address}:{}", self.host_first)?,
            IpAddr::V6(address) => write!(f, "[{address}]:{}", self.host_first)?,
        }
        if self.host_last != self.host_first {
            write!(f, "-{}", self.host_last)?;
        }
        write!(f, "/{}", self.protocol)
    }
}

/// A protocol and both ends of a publish's life, for `publishes()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishStatus {
    /// What is published.
    pub publish: Publish,
    /// What went through it.
    pub counters: PublishCounters,
    /// Its sets of rules.
    pub rules: RuleSets,
}

/// How the guard is attached to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardMode {
    /// In the driver, before there is a socket buffer.
    Native,
    /// Behind the driver, which cannot do it.
    Generic,
}

impl std::fmt::Display for GuardMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// A rule and how often it decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleStatus {
    /// What it does.
    pub action: Action,
    /// With which sources; none for all that no other rule of its set names.
    pub source: Option<IpNet>,
    /// New connections that it let through or refused; of the daemon's, packets that the guard dropped as well.
    pub hits: u64,
}
