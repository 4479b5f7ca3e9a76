//! Networks and published ports as readers see them.

mod default;
mod leases;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use jiff::Timestamp;

use crate::container::ports::Published;
use crate::identity::{ContainerId, ContainerName};
use crate::protocol::Protocol;

pub(crate) use default::{DEFAULT_ID, DefaultNetwork};

/// A publish of the container at `address`, as the network has it.
pub(crate) fn to_net(publish: &Published, address: Ipv4Addr) -> beeline_net::Publish {
    beeline_net::Publish {
        protocol: publish.protocol.into(),
        host_ip: publish.host_ip,
        host_first: publish.host_first,
        host_last: publish.host_last,
        container_ip: address.into(),
        container_first: publish.container_first,
    }
}

/// A network at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkView {
    /// The id, 64 hexadecimal digits.
    pub id: String,
    /// The name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// `bridge`, `host` or `null`.
    pub driver: String,
    /// The device on the host; empty for `host` and `none`.
    pub device: String,
    /// The subnet; none for `host` and `none`.
    pub subnet: Option<Ipv4Net>,
    /// The gateway's address.
    pub gateway: Option<Ipv4Addr>,
    /// Nothing outside can be reached.
    pub internal: bool,
    /// Driver options as Docker shows them.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The running containers on it.
    pub members: Vec<NetworkMember>,
}

/// A container on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkMember {
    /// The container.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// The endpoint's id, 64 hexadecimal digits.
    pub endpoint_id: String,
    /// The hardware address.
    pub mac: String,
    /// The address with the subnet's prefix length.
    pub address: Option<Ipv4Net>,
}

/// A published port and what came through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortStatus {
    /// The container.
    pub container: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// The protocol.
    pub protocol: Protocol,
    /// The host's address; unspecified is every one.
    pub host_ip: IpAddr,
    /// The first host port.
    pub host_port: u16,
    /// The last host port, equal to the first for a single one.
    pub host_port_end: u16,
    /// The container's address.
    pub container_ip: IpAddr,
    /// The container port the first host port leads to.
    pub container_port: u16,
    /// Connections (TCP) or flows (UDP) since it was published.
    pub connections: u64,
    /// Packets to the container.
    pub packets: u64,
    /// Bytes to the container.
    pub bytes: u64,
}
