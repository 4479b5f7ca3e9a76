//! What callers ask of the network, and what they get.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Rules,
    datapath::{Acceleration, GuardMode, LogLevel, Timeouts, Watch},
};

/// How an instance's network is set up.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// The instance's id, `[a-z0-9]{1,6}`: names its devices and its folder of pins.
    pub instance: String,
    /// Where a BPF file system is, or is to be mounted: usually `/sys/fs/bpf`.
    pub bpffs: PathBuf,
    /// The root of the cgroup2 hierarchy.
    pub cgroup2: PathBuf,
    /// The size of the table of flows; a translated flow takes two entries.
    pub conntrack_entries: u32,
    /// How long silent connections are remembered.
    pub timeouts: Timeouts,
    /// How much the programs in the kernel tell.
    pub log_level: LogLevel,
    /// Who may reach published ports of any network, and whom the guard keeps away.
    pub rules: Rules,
    /// Where the guard stands.
    pub guard: Guard,
    /// Whether connections of the host itself with members of accelerated networks are accelerated, too.
    pub accelerate_host: bool,
    /// What is measured beyond what costs nothing.
    pub watch: Watch,
}

/// The uplinks at which denied sources are dropped before anything else sees their packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// None.
    #[default]
    Off,
    /// Every uplink.
    All,
    /// The uplinks of these names.
    Devices(BTreeSet<String>),
}

impl Guard {
    /// Whether it stands at an uplink of this name.
    pub(crate) fn includes(&self, name: &str) -> bool {
        match self {
            Self::Off => false,
            Self::All => true,
            Self::Devices(names) => names.contains(name),
        }
    }

    /// The devices that are named.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &str> {
        let names = if let Self::Devices(names) = self { Some(names) } else { None };
        names.into_iter().flatten().map(String::as_str)
    }
}

/// An uplink with its guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardStatus {
    /// The device.
    pub device: String,
    /// How it is attached.
    pub mode: GuardMode,
}

impl NetConfig {
    /// Usual values: `/sys/fs/bpf`, the cgroup2 mount of this host (else `/sys/fs/cgroup`), room for 131,072 flows.
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            instance: instance.into(),
            bpffs: PathBuf::from("/sys/fs/bpf"),
            cgroup2: cgroup2_mount().unwrap_or_else(|| PathBuf::from("/sys/fs/cgroup")),
            conntrack_entries: 262_144,
            timeouts: Timeouts::NORMAL,
            log_level: LogLevel::Off,
            rules: Rules::default(),
            guard: Guard::Off,
            accelerate_host: false,
            watch: Watch::default(),
        }
    }
}

/// Where the cgroup2 hierarchy is mounted, also on hosts with version 1 beside it.
pub fn cgroup2_mount() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    cgroup2_in(&mounts)
}

fn cgroup2_in(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, superblock) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        // A bind mount of a part is not where the hierarchy's root is.
        (superblock.split(' ').next()? == "cgroup2" && root == "/").then(|| Path::new(point).to_path_buf())
    })
}

/// The addresses of a network in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range<N, A> {
    /// All of them.
    pub subnet: N,
    /// The gateway's, one of the subnet.
    pub gateway: A,
}

/// The IPv4 addresses of a network.
pub type Range4 = Range<Ipv4Net, Ipv4Addr>;

/// The IPv6 addresses of a network.
pub type Range6 = Range<Ipv6Net, Ipv6Addr>;

/// A network: a gateway device, and a subnet of one family at least.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Its id within the instance.
    pub id: u32,
    /// Its name, for messages.
    pub name: String,
    /// The gateway device, see [`default_device`] and [`network_device`].
    pub device: String,
    /// The IPv4 addresses.
    pub ipv4: Option<Range4>,
    /// The IPv6 addresses.
    pub ipv6: Option<Range6>,
    /// Bytes of the largest IP packet; without it, that of the default route's device.
    pub mtu: Option<u32>,
    /// Whether members may talk to each other.
    pub icc: bool,
    /// Whether the network has no way outside.
    pub internal: bool,
    /// Whether packets to the outside carry the uplink's address.
    pub masquerade: bool,
    /// The families whose addresses are reachable from outside; packets keep them on their way there.
    #[serde(default)]
    pub routed: Families,
    /// How many connections the members may have, together; without it, three quarters of what can be tracked.
    #[serde(default)]
    pub flow_quota: Option<u32>,
    /// Who may reach the published ports of its members.
    #[serde(default)]
    pub rules: Rules,
    /// Whether connections between its members go past the network, where the kernel can.
    #[serde(default)]
    pub accelerate: Acceleration,
}

impl NetworkSpec {
    /// Its subnets with their gateways, IPv4 first.
    pub fn ranges(&self) -> impl Iterator<Item = (IpNet, IpAddr)> {
        let ipv4 = self.ipv4.map(|range| (range.subnet.into(), range.gateway.into()));
        let ipv6 = self.ipv6.map(|range| (range.subnet.into(), range.gateway.into()));
        ipv4.into_iter().chain(ipv6)
    }
}

/// An endpoint to make. It has an address of each family that its network has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// The container's id: part of the device's name, so that a reader finds it.
    pub id: String,
    /// The network's id.
    pub network: u32,
    /// The device's name inside, usually `eth0`.
    pub ifname: String,
    /// The IPv4 address, from [`crate::Ipam`].
    pub ipv4: Option<Ipv4Addr>,
    /// The IPv6 address, from [`crate::Ipam`].
    pub ipv6: Option<Ipv6Addr>,
    /// The hardware address, see [`crate::mac_of`].
    pub mac: [u8; 6],
    /// The families whose default route leads by this endpoint.
    pub routes: Families,
}

/// A choice of address families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Families {
    /// IPv4.
    pub ipv4: bool,
    /// IPv6.
    pub ipv6: bool,
}

/// An address of an endpoint, with what its network adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address<A> {
    /// The address.
    pub ip: A,
    /// The length of the subnet's prefix.
    pub prefix_len: u8,
    /// The gateway's address.
    pub gateway: A,
}

/// A container's end in a network, as it was made: keep it, for detaching and for the next daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The container's id.
    pub id: String,
    /// The network's id.
    pub network: u32,
    /// The host's end of the veth pair.
    pub host_ifindex: u32,
    /// Its name.
    pub host_ifname: String,
    /// The container's end.
    pub ifname: String,
    /// The IPv4 address.
    pub ipv4: Option<Address<Ipv4Addr>>,
    /// The IPv6 address.
    pub ipv6: Option<Address<Ipv6Addr>>,
    /// The hardware address.
    pub mac: [u8; 6],
    /// Bytes of the largest IP packet.
    pub mtu: u32,
}

impl Endpoint {
    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let ipv4 = self.ipv4.map(|address| address.ip.into());
        ipv4.into_iter().chain(self.ipv6.map(|address| address.ip.into()))
    }

    /// Its addresses with their subnets' prefixes, and the gateways, IPv4 first.
    pub(crate) fn networks(&self) -> impl Iterator<Item = (IpNet, IpAddr)> {
        let ipv4 =
            self.ipv4.map(|address| (IpAddr::from(address.ip), address.prefix_len, address.gateway.into()));
        let ipv6 =
            self.ipv6.map(|address| (IpAddr::from(address.ip), address.prefix_len, address.gateway.into()));
        let both = ipv4.into_iter().chain(ipv6);
        both.filter_map(|(ip, prefix_len, gateway)| Some((IpNet::new(ip, prefix_len).ok()?, gateway)))
    }
}

/// By which endpoints of a container its default routes lead; by none, it has no such route.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultRoutes<'a> {
    /// That of IPv4.
    pub ipv4: Option<&'a Endpoint>,
    /// That of IPv6.
    pub ipv6: Option<&'a Endpoint>,
}

/// The longest name of a device.
const IFNAME_MAX: usize = 15;

/// The gateway device of the instance's default network.
pub fn default_device(instance: &str) -> String {
    format!("bl-{instance}")
}

/// The gateway device of another network of the instance, unless its user names one.
pub fn network_device(instance: &str, network: u32) -> String {
    format!("bl-{instance}-{network}")
}

/// What the description of an instance's devices says, where their names may be anything.
pub(crate) fn mark_of(instance: &str) -> String {
    format!("{MARK}{instance}")
}

/// What the description of every instance's devices begins with.
const MARK: &str = "beeline ";

/// What the names of the instance's veth devices begin with.
pub(crate) fn veth_prefix(instance: &str) -> String {
    format!("bv{instance}-")
}

/// The host's end of a container's veth pair: `bv`, the instance, and as much of `tail` as there is room for.
pub(crate) fn veth_name(instance: &str, tail: &str) -> String {
    let mut name = veth_prefix(instance);
    name.extend(tail.chars().take(IFNAME_MAX.saturating_sub(name.len())));
    name
}

/// Whether a device belongs to Beeline, this instance or another, by its name or its description.
pub(crate) fn is_ours(name: &str, description: Option<&str>) -> bool {
    name.starts_with("bl-")
        || (name.starts_with("bv") && name.contains('-'))
        || description.is_some_and(|text| text.starts_with(MARK))
}

/// Whether a device belongs to the instance: its gateways are `bl-INSTANCE`, `bl-INSTANCE-…` and those described so.
pub(crate) fn is_of_instance(name: &str, description: Option<&str>, instance: &str) -> bool {
    let gateway = default_device(instance);
    let more = name.strip_prefix(&gateway).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    more || name.starts_with(&veth_prefix(instance)) || description == Some(mark_of(instance).as_str())
}

/// Checks the name of a gateway device: the instance's own, or one that no instance's device has.
///
/// # Errors
/// [`Error::InvalidDevice`].
pub fn check_device(name: &str, instance: &str) -> Result<(), Error> {
    let invalid = |reason| Err(Error::InvalidDevice { name: name.to_owned(), reason });
    if name.is_empty() || name.len() > IFNAME_MAX || matches!(name, "." | "..") {
        return invalid("a device's name has 1 to 15 characters");
    }
    if name.chars().any(|character| character == '/' || character == ':' || character.is_whitespace()) {
        return invalid("a device's name has no slash, colon or space");
    }
    if name == "lo" || (is_ours(name, None) && !is_of_instance(name, None, instance)) {
        return invalid("the name is kept for the loopback or for another instance");
    }
    if name.starts_with(&veth_prefix(instance)) {
        return invalid("such names are kept for containers' devices");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup2_mount_is_found_on_unified_and_hybrid_hosts() {
        let hybrid = "30 29 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      31 29 0:27 /part /mnt rw - cgroup2 cgroup2 rw\n\
                      32 29 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:4 - cgroup2 none rw\n";
        assert_eq!(cgroup2_in(hybrid), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(
            cgroup2_in("30 29 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
            Some("/sys/fs/cgroup".into())
        );
        assert_eq!(cgroup2_in("30 29 0:26 / /proc rw - proc proc rw\n"), None);
    }

    #[test]
    fn a_device_belongs_to_one_instance_alone() {
        assert_eq!(veth_name("a1b2c3", "0123456789abcdef"), "bva1b2c3-012345");
        assert_eq!(veth_name("0", "0123456789abcdef").len(), IFNAME_MAX);
        for (name, instance, own) in [
            ("bl-0", "0", true),
            ("bl-0-abcd", "0", true),
            ("bl-01", "0", false),
            ("bv0-123456", "0", true),
            ("bv01-12345", "0", false),
            ("eth0", "0", false),
        ] {
            assert_eq!(is_of_instance(name, None, instance), own, "{name} of {instance}");
        }
        for (name, ours) in [("bl-x", true), ("bvx-1", true), ("bvlan0", false), ("eth0", false)] {
            assert_eq!(is_ours(name, None), ours, "{name}");
        }
        let mark = mark_of("0");
        assert!(is_ours("br-web", Some(&mark)) && !is_ours("br-web", Some("my bridge")));
        assert!(is_of_instance("br-web", Some(&mark), "0") && !is_of_instance("br-web", Some(&mark), "01"));
    }

    #[test]
    fn a_gateway_device_is_named_for_its_instance() {
        for name in ["bl-0", "bl-0-7", "br-web"] {
            assert!(check_device(name, "0").is_ok(), "{name}");
        }
        for name in ["", "bl-1", "bl-0-123456789abc", "bl-0-a b", "bl-0-a/b", "lo", "..", "bv0-1"] {
            assert!(check_device(name, "0").is_err(), "{name}");
        }
    }
}
