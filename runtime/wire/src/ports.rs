//! `GET /beeline/ports`: every published port, who may reach it and what came through. `GET /beeline/rules`: who may
//! reach any. Beeline's own.

use serde::{Deserialize, Serialize};

/// One publish: a port or a range of ports, one entry in the kernel's map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PublishedPort {
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    pub container_name: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The address it is bound to; `0.0.0.0` is every address of the host.
    #[serde(rename = "HostIP")]
    pub host_ip: String,
    pub host_port: u16,
    /// The range's last port; the same as `HostPort` for a single one.
    pub host_port_last: u16,
    #[serde(rename = "ContainerIP")]
    pub container_ip: String,
    /// The container's port that `HostPort` leads to; a range goes on from it.
    pub container_port: u16,
    pub container_port_last: u16,
    /// Connections (TCP) or flows (UDP) begun since the publish.
    pub connections: u64,
    /// New connections that a rule refused.
    pub refused: u64,
    /// Its own rules, then its network's; those for every port are at `GET /beeline/rules`.
    pub rules: Vec<PortRule>,
    /// Packets towards the container.
    pub packets: u64,
    /// Bytes towards the container.
    pub bytes: u64,
}

/// Who may come, or may not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortRule {
    /// Whose rule it is: `publish`, `network` or `daemon`.
    pub scope: String,
    /// `allow` or `deny`.
    pub action: String,
    /// A subnet; empty for all that no other rule of the scope names.
    pub source: String,
    /// How often the rule decided about a new connection. A network's rules count for all its ports.
    pub hits: u64,
}
