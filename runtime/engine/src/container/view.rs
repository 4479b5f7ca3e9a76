//! A container as readers see it: record and status at one moment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::{Ipv4Net, Ipv6Net};
use jiff::Timestamp;

use crate::container::config::ContainerConfig;
use crate::container::mounts::UserMount;
use crate::container::status::ContainerStatus;
use crate::identity::{ContainerId, ContainerName};
use crate::network::EndpointConfig;
use crate::protocol::Protocol;

/// The answer to a creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The new container.
    pub id: ContainerId,
    /// What was asked for and cannot be had, but is no reason to refuse.
    pub warnings: Vec<String>,
}

/// A container at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerView {
    /// The id.
    pub id: ContainerId,
    /// The name.
    pub name: ContainerName,
    /// When it was created.
    pub created: Timestamp,
    /// What was asked for, merged with what the image says.
    pub config: Arc<ContainerConfig>,
    /// The image's id, as `sha256:…`.
    pub image_id: String,
    /// The platform of the image: its operating system.
    pub platform: String,
    /// What init executes: entry point and command.
    pub argv: Vec<String>,
    /// What is observed.
    pub status: ContainerStatus,
    /// How often it has been started again by its restart policy.
    pub restart_count: u64,
    /// How often it has exited since the daemon knows it.
    pub exits: u64,
    /// How the last run that ended did; what is observed now forgets it with the next start.
    pub last_exit: i64,
    /// Whether it is removed: the last view of a container says so.
    pub removed: bool,
    /// Its connections to networks, one for each network it belongs to.
    pub endpoints: Vec<EndpointView>,
    /// Published ports while it runs, and exposed ports that are not published.
    pub ports: Vec<PortMapping>,
    /// What is mounted into it.
    pub mounts: Vec<MountView>,
    /// Its files on the host.
    pub paths: ContainerPaths,
    /// What users mounted, in the engine's own words.
    pub(crate) user_mounts: Arc<Vec<UserMount>>,
    /// The network's own words for its connections.
    pub(crate) net: Vec<beeline_net::Endpoint>,
}

/// A connection to a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointView {
    /// The network's name.
    pub network: String,
    /// The network's id, 64 hexadecimal digits; empty for one that is gone.
    pub network_id: String,
    /// The endpoint's id, 64 hexadecimal digits; empty unless connected.
    pub endpoint_id: String,
    /// The IPv4 address with the subnet's prefix length; none unless connected (and with networks `none` and `host`).
    pub ipv4: Option<Ipv4Net>,
    /// The IPv6 address with the subnet's prefix length.
    pub ipv6: Option<Ipv6Net>,
    /// The gateway's IPv4 address; none unless connected, and on networks without a way outside.
    pub gateway4: Option<Ipv4Addr>,
    /// The gateway's IPv6 address.
    pub gateway6: Option<Ipv6Addr>,
    /// The interface's hardware address as `02:42:…`; empty unless connected.
    pub mac: String,
    /// The interface's name inside; empty unless connected.
    pub interface: String,
    /// The interface's name on the host; empty unless connected.
    pub host_interface: String,
    /// The container's names there; none on a network that resolves none.
    pub dns_names: Vec<String>,
    /// What was asked for.
    pub config: EndpointConfig,
}

impl EndpointView {
    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let ipv4 = self.ipv4.map(|address| address.addr().into());
        ipv4.into_iter().chain(self.ipv6.map(|address| address.addr().into()))
    }
}

/// One container port, published or only exposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortMapping {
    /// The container's port.
    pub container_port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// The host's address and port; none if the port is only exposed.
    pub host: Option<(IpAddr, u16)>,
}

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountView {
    /// `bind`, `tmpfs` or `volume`.
    pub kind: String,
    /// The volume's name; empty unless it is a volume.
    pub name: String,
    /// The host's path; empty for a tmpfs.
    pub source: String,
    /// The path inside.
    pub destination: String,
    /// The options as given, as `ro,z`.
    pub mode: String,
    /// Whether it is writable.
    pub writable: bool,
    /// A bind mount's propagation.
    pub propagation: String,
}

/// A container's files on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPaths {
    /// The container's directory.
    pub directory: PathBuf,
    /// /etc/hosts inside.
    pub hosts: PathBuf,
    /// /etc/hostname inside.
    pub hostname: PathBuf,
    /// /etc/resolv.conf inside.
    pub resolv_conf: PathBuf,
    /// The log; empty if the log driver keeps none.
    pub log: PathBuf,
    /// The image's layers, bottom first.
    pub layers: Vec<PathBuf>,
    /// What the container changes.
    pub upper: PathBuf,
    /// The overlay file system's work directory.
    pub work: PathBuf,
}
