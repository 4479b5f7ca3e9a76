//! What a user asks for when creating a network, or when putting a container on one. Fields are Docker's and texts as
//! they were given; an empty text or list means "not given".

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// A network to create.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkConfig {
    /// The name.
    pub name: String,
    /// `bridge`, also if empty.
    pub driver: String,
    /// Whether it has IPv4 addresses; it has if not given.
    pub enable_ipv4: Option<bool>,
    /// Whether it has IPv6 addresses.
    pub enable_ipv6: bool,
    /// Nothing outside can be reached.
    pub internal: bool,
    /// Kept for clients: every container may be connected anyway.
    pub attachable: bool,
    /// Where addresses come from.
    pub ipam: IpamConfig,
    /// The driver's options, by Docker's keys.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Where a network's addresses come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpamConfig {
    /// `default`, also if empty.
    pub driver: String,
    /// Options of that driver, kept for clients.
    pub options: Option<BTreeMap<String, String>>,
    /// At most one for each family.
    pub pools: Vec<PoolConfig>,
}

/// The addresses of one family.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolConfig {
    /// All of them, as `172.30.0.0/24`.
    pub subnet: String,
    /// Those that are chosen from.
    pub ip_range: String,
    /// The gateway's.
    pub gateway: String,
    /// Those that something else has, by its name.
    pub auxiliary: BTreeMap<String, String>,
}

/// A container's wishes on one network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointConfig {
    /// The IPv4 address.
    pub ipv4_address: String,
    /// The IPv6 address.
    pub ipv6_address: String,
    /// Further addresses, of the link only.
    pub link_local_addresses: Vec<String>,
    /// The hardware address.
    pub mac_address: String,
    /// Further names on this network.
    pub aliases: Vec<String>,
    /// `CONTAINER` or `CONTAINER:NAME`: names that this container alone has for others.
    pub links: Vec<String>,
    /// The default route leads by the network with the greatest.
    pub gateway_priority: i64,
    /// The driver's options, by Docker's keys.
    pub driver_options: BTreeMap<String, String>,
}

/// The option that names the interface inside.
pub(super) const IFNAME: &str = "com.docker.network.endpoint.ifname";

impl EndpointConfig {
    /// The IPv4 address asked for.
    pub(crate) fn ipv4(&self) -> Option<Ipv4Addr> {
        self.ipv4_address.parse().ok()
    }

    /// The IPv6 address asked for.
    pub(crate) fn ipv6(&self) -> Option<Ipv6Addr> {
        self.ipv6_address.parse().ok()
    }

    /// The hardware address asked for.
    pub(crate) fn mac(&self) -> Option<[u8; 6]> {
        parse_mac(&self.mac_address)
    }

    /// The interface's name asked for.
    pub(crate) fn interface(&self) -> Option<&str> {
        self.driver_options.get(IFNAME).map(String::as_str)
    }
}

/// A hardware address, as `02:42:ac:11:00:02`, also with hyphens.
pub(super) fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let separator = if text.contains('-') { '-' } else { ':' };
    let octets: Option<Vec<u8>> = text
        .split(separator)
        .map(|octet| u8::from_str_radix(octet, 16).ok().filter(|_| octet.len() == 2))
        .collect();
    octets?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_read_in_both_spellings() {
        assert_eq!(parse_mac("02:42:ac:11:00:FF"), Some([2, 0x42, 0xac, 0x11, 0, 0xff]));
        assert_eq!(parse_mac("02-42-ac-11-00-ff"), Some([2, 0x42, 0xac, 0x11, 0, 0xff]));
        for wrong in ["", "02:42:ac:11:00", "2:42:ac:11:0:ff", "02:42:ac:11:00:gg", "0242.ac11.00ff"] {
            assert_eq!(parse_mac(wrong), None, "{wrong}");
        }
    }
}
