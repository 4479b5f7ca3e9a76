//! What callers ask of the network, and what they get.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::{Error, datapath::LogLevel};

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
    /// How much the programs in the kernel tell.
    pub log_level: LogLevel,
}

impl NetConfig {
    /// Usual values: `/sys/fs/bpf`, the cgroup2 mount of this host (else `/sys/fs/cgroup`), room for 131,072 flows.
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            instance: instance.into(),
            bpffs: PathBuf::from("/sys/fs/bpf"),
            cgroup2: cgroup2_mount().unwrap_or_else(|| PathBuf::from("/sys/fs/cgroup")),
            conntrack_entries: 262_144,
            log_level: LogLevel::Off,
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

/// A network: a gateway device and a subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Its id within the instance.
    pub id: u32,
    /// Its name, for messages.
    pub name: String,
    /// The gateway device, see [`default_device`].
    pub device: String,
    /// The addresses.
    pub subnet: Ipv4Net,
    /// The gateway's address, one of the subnet.
    pub gateway: Ipv4Addr,
    /// Bytes of the largest IP packet; without it, that of the default route's device.
    pub mtu: Option<u32>,
    /// Whether members may talk to each other.
    pub icc: bool,
    /// Whether the network has no way outside.
    pub internal: bool,
    /// Whether packets to the outside carry the uplink's address.
    pub masquerade: bool,
}

/// An endpoint to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// The container's id: part of the device's name, so that a reader finds it.
    pub id: String,
    /// The network's id.
    pub network: u32,
    /// The device's name inside, usually `eth0`.
    pub ifname: String,
    /// The address, from [`crate::Ipam`].
    pub ip: Ipv4Addr,
    /// The hardware address, see [`crate::mac_of`].
    pub mac: [u8; 6],
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
    /// The address.
    pub ip: Ipv4Addr,
    /// The length of the subnet's prefix.
    pub prefix_len: u8,
    /// The gateway's address.
    pub gateway: Ipv4Addr,
    /// The hardware address.
    pub mac: [u8; 6],
    /// Bytes of the largest IP packet.
    pub mtu: u32,
}

/// The longest name of a device.
const IFNAME_MAX: usize = 15;

/// The gateway device of the instance's default network.
pub fn default_device(instance: &str) -> String {
    format!("bl-{instance}")
}

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

/// Whether a device belongs to Beeline, this instance or another.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with("bl-") || (name.starts_with("bv") && name.contains('-'))
}

/// Whether a device belongs to the instance: its gateways are `bl-INSTANCE` and `bl-INSTANCE-…`.
pub(crate) fn is_of_instance(name: &str, instance: &str) -> bool {
    let gateway = default_device(instance);
    let more = name.strip_prefix(&gateway).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    more || name.starts_with(&veth_prefix(instance))
}

/// Checks the name of a gateway device.
pub(crate) fn check_device(name: &str, instance: &str) -> Result<(), Error> {
    let invalid = |reason| Err(Error::InvalidDevice { name: name.to_owned(), reason });
    if name.is_empty() || name.len() > IFNAME_MAX {
        return invalid("a device's name has 1 to 15 characters");
    }
    if name.chars().any(|character| character == '/' || character == ':' || character.is_whitespace()) {
        return invalid("a device's name has no slash, colon or space");
    }
    if !is_of_instance(name, instance) {
        return invalid("a network's device is named bl-INSTANCE or bl-INSTANCE-…");
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
            assert_eq!(is_of_instance(name, instance), own, "{name} of {instance}");
        }
        assert!(is_ours("bl-x") && is_ours("bvx-1") && !is_ours("bvlan0") && !is_ours("eth0"));
    }

    #[test]
    fn a_gateway_device_is_named_for_its_instance() {
        assert!(check_device("bl-0", "0").is_ok());
        for name in ["", "bl-1", "bl-0-123456789abc", "bl-0-a b", "bl-0-a/b", "eth0"] {
            assert!(check_device(name, "0").is_err(), "{name}");
        }
    }
}
