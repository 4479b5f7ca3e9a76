//! A container's network as an inspection shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::host_config::PortMap;
use crate::go::null_is_default;
use crate::network::EndpointSettings;

/// The `NetworkSettings` of an inspection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkSettings {
    pub bridge: String,
    #[serde(rename = "SandboxID")]
    pub sandbox_id: String,
    /// Where the network namespace is bound; empty, as Beeline's namespaces are anonymous.
    pub sandbox_key: String,
    #[serde(deserialize_with = "null_is_default")]
    pub ports: PortMap,
    /// The default network's address again, as clients read it that know one network only.
    /// Docker drops these with 1.52.
    #[serde(flatten)]
    pub legacy: Option<LegacyAddresses>,
    #[serde(deserialize_with = "null_is_default")]
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// The default network's endpoint, spelled into the settings themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LegacyAddresses {
    pub hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    pub link_local_ipv6_address: String,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    pub link_local_ipv6_prefix_len: u8,
    #[serde(rename = "SecondaryIPAddresses")]
    pub secondary_ip_addresses: Option<Vec<SecondaryAddress>>,
    #[serde(rename = "SecondaryIPv6Addresses")]
    pub secondary_ipv6_addresses: Option<Vec<SecondaryAddress>>,
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    pub gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    pub mac_address: String,
}

/// A further address; Docker never fills these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SecondaryAddress {
    pub addr: String,
    pub prefix_len: u8,
}
