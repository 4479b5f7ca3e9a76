//! Networks and published ports as readers see them.

use beeline_net::{Action, Scope};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;

use super::{Network, ipam};
use crate::container::view::ContainerView;
use crate::identity::{ContainerId, ContainerName};
use crate::protocol::Protocol;

/// A network at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkView {
    /// The id, 64 hexadecimal digits.
    pub id: String,
    /// The name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// Whether Beeline made it by itself.
    pub builtin: bool,
    /// `bridge`, `host` or `null`.
    pub driver: String,
    /// The device on the host; empty for `host` and `none`.
    pub device: String,
    /// Whether it has IPv4 addresses; `host` and `none` say so, too.
    pub enable_ipv4: bool,
    /// Whether it has IPv6 addresses.
    pub enable_ipv6: bool,
    /// The addresses of each family; none for `host` and `none`.
    pub pools: Vec<PoolView>,
    /// Options of the address management, as they were given.
    pub ipam_options: Option<BTreeMap<String, String>>,
    /// Nothing outside can be reached.
    pub internal: bool,
    /// As it was given.
    pub attachable: bool,
    /// Driver options as Docker shows them.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The running containers on it.
    pub members: Vec<NetworkMember>,
}

/// A network's addresses of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolView {
    /// All of them.
    pub subnet: IpNet,
    /// Those that are chosen from, if not all.
    pub range: Option<IpNet>,
    /// The gateway's.
    pub gateway: IpAddr,
    /// Those that something else has.
    pub auxiliary: BTreeMap<String, IpAddr>,
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
    /// The IPv4 address with the subnet's prefix length.
    pub ipv4: Option<Ipv4Net>,
    /// The IPv6 address with the subnet's prefix length.
    pub ipv6: Option<Ipv6Net>,
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
    /// The host's address; unspecified is every one of its family.
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
    /// New connections that a rule refused.
    pub refused: u64,
    /// The rules for it, its own first and then its network's.
    pub rules: Vec<PortRule>,
}

/// A rule for published ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRule {
    /// Whose rule it is.
    pub scope: Scope,
    /// What it does.
    pub action: Action,
    /// With which sources; none for all that no other rule of this scope names.
    pub source: Option<IpNet>,
    /// How often it decided. A network's rules count for all its ports.
    pub hits: u64,
}

impl PortRule {
    pub(crate) fn new(scope: Scope, rule: &beeline_net::RuleStatus) -> Self {
        Self { scope, action: rule.action, source: rule.source, hits: rule.hits }
    }
}

/// A network with those of `containers` that are connected to it.
pub(crate) fn view(network: &Network, containers: &[Arc<ContainerView>]) -> NetworkView {
    let bridge = network.as_bridge();
    let member = |container: &Arc<ContainerView>| {
        let endpoint = container.endpoints.iter().find(|endpoint| endpoint.network_id == network.id)?;
        container.status.state.is_running().then(|| NetworkMember {
            id: container.id.clone(),
            name: container.name.clone(),
            endpoint_id: endpoint.endpoint_id.clone(),
            mac: endpoint.mac.clone(),
            ipv4: endpoint.ipv4,
            ipv6: endpoint.ipv6,
        })
    };
    // What was accepted can be read.
    let wanted = ipam::parse(&network.config).unwrap_or_default();
    let pool = |(subnet, gateway): (IpNet, IpAddr)| {
        let wanted = if subnet.addr().is_ipv4() { &wanted.ipv4 } else { &wanted.ipv6 };
        let (range, auxiliary) =
            wanted.as_ref().map(|wanted| (wanted.range, wanted.auxiliary.clone())).unwrap_or_default();
        PoolView { subnet, range, gateway, auxiliary }
    };
    let config = &network.config;
    NetworkView {
        id: network.id.clone(),
        name: config.name.clone(),
        created: network.created,
        builtin: network.is_builtin(),
        driver: network.driver().to_owned(),
        device: bridge.map(|bridge| bridge.spec.device.clone()).unwrap_or_default(),
        enable_ipv4: bridge.is_none_or(|bridge| bridge.spec.ipv4.is_some()),
        enable_ipv6: bridge.is_some_and(|bridge| bridge.spec.ipv6.is_some()),
        pools: bridge.map(|bridge| bridge.spec.ranges().map(pool).collect()).unwrap_or_default(),
        ipam_options: config.ipam.options.clone(),
        internal: config.internal,
        attachable: config.attachable,
        options: config.options.clone(),
        labels: config.labels.clone(),
        members: containers.iter().filter_map(member).collect(),
    }
}
