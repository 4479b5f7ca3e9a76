//! What the host's own network looks like: which devices lead outside, with which addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::{
    Error,
    datapath::UplinkSpec,
    netlink::{HostAddress, HostLink, HostRoute, Netlink},
};

/// Devices, addresses and routes of the daemon's network namespace at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostNetwork {
    pub(crate) links: Vec<HostLink>,
    pub(crate) addresses: Vec<HostAddress>,
    pub(crate) routes: Vec<HostRoute>,
}

/// A device towards the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostUplink {
    pub(crate) name: String,
    pub(crate) spec: UplinkSpec,
}

impl HostNetwork {
    /// What a network gets when no device leads to a default route.
    const DEFAULT_MTU: u32 = 1500;

    /// Reads it from the kernel, for the network namespace of the calling thread.
    pub(crate) fn read() -> Result<Self, Error> {
        let netlink = Netlink::open()?;
        Ok(Self { links: netlink.links()?, addresses: netlink.addresses()?, routes: netlink.routes()? })
    }

    /// Where routes lead.
    pub(crate) fn route_destinations(&self) -> Vec<IpNet> {
        self.routes.iter().map(|route| route.destination).collect()
    }

    /// Bytes of the largest IP packet towards the default route.
    pub(crate) fn default_mtu(&self) -> u32 {
        self.default_route()
            .and_then(|route| self.links.iter().find(|link| Some(link.index) == route.index))
            .map_or(Self::DEFAULT_MTU, |link| link.mtu)
    }

    fn default_route(&self) -> Option<&HostRoute> {
        let defaults = self.routes.iter().filter(|route| route.destination.prefix_len() == 0);
        defaults.min_by_key(|route| (route.destination.addr().is_ipv6(), route.priority))
    }

    /// Every address of the host but the loopback's.
    pub(crate) fn local_addresses(&self) -> BTreeSet<IpAddr> {
        self.addresses
            .iter()
            .map(|address| address.address)
            .filter(|address| !address.is_loopback())
            .collect()
    }

    /// The devices by which packets leave and come: up, not the loopback, not ours, no port of a bridge or bond, and with
    /// an address or a route.
    pub(crate) fn uplinks(&self) -> BTreeMap<u32, HostUplink> {
        let uses = |index: u32| {
            self.addresses
                .iter()
                .any(|address| address.index == index && (address.global || address.address.is_ipv4()))
                || self.routes.iter().any(|route| route.index == Some(index))
        };
        self.links
            .iter()
            .filter(|link| link.up && !link.loopback && !link.port && !link.is_ours() && uses(link.index))
            .map(|link| {
                let addresses = self.uplink_addresses(link.index);
                let spec = UplinkSpec { ifindex: link.index, addresses, mtu: link.mtu, layer3: link.layer3 };
                (link.index, HostUplink { name: link.name.clone(), spec })
            })
            .collect()
    }

    /// The addresses that packets may carry when they leave by a device, the preferred first: the source that its routes
    /// name, its own, and if it has none of a family (an unnumbered link) the host's first.
    fn uplink_addresses(&self, index: u32) -> Vec<IpAddr> {
        let mut routes: Vec<_> = self.routes.iter().filter(|route| route.index == Some(index)).collect();
        routes.sort_by_key(|route| route.priority);
        // The route of a subnet names the device's own address: only a default route states a preference.
        let preferred = |v4: bool| {
            routes
                .iter()
                .find(|route| route.destination.prefix_len() == 0 && route.destination.addr().is_ipv4() == v4)
                .and_then(|route| route.source)
                .filter(|source| self.addresses.iter().any(|address| address.address == *source))
        };
        let mut own: Vec<&HostAddress> = self
            .addresses
            .iter()
            .filter(|address| address.index == index && (address.global || address.address.is_ipv4()))
            .collect();
        // What the whole Internet can answer to is worth more than what only neighbours know.
        own.sort_by_key(|address| (address.secondary, is_unique_local(address.address)));
        let own = own.into_iter().map(|address| address.address);
        let mut addresses: Vec<IpAddr> =
            [preferred(true), preferred(false)].into_iter().flatten().chain(own).collect();
        for v4 in [true, false] {
            if !addresses.iter().any(|address| address.is_ipv4() == v4) {
                addresses.extend(self.borrowed(v4));
            }
        }
        let mut seen = BTreeSet::new();
        addresses.retain(|address| seen.insert(*address));
        addresses
    }

    /// The host's first address of a family that is good everywhere.
    fn borrowed(&self, v4: bool) -> Option<IpAddr> {
        let is_gateway = |index: u32| self.links.iter().any(|link| link.index == index && link.is_ours());
        let candidates = self.addresses.iter().filter(|address| {
            let ip = address.address;
            address.global && ip.is_ipv4() == v4 && !ip.is_loopback() && !is_gateway(address.index)
        });
        candidates.map(|address| address.address).next()
    }
}

fn is_unique_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unique_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str) -> HostLink {
        HostLink {
            index,
            name: name.into(),
            description: None,
            mac: None,
            mtu: 1400,
            up: true,
            loopback: name == "lo",
            layer3: name.starts_with("wg"),
            bridge: false,
            port: false,
        }
    }

    fn address(index: u32, text: &str) -> HostAddress {
        let address: IpAddr = text.parse().expect("an address");
        HostAddress { index, address, prefix_len: 24, secondary: false, global: !text.starts_with("fe80") }
    }

    fn route(index: u32, destination: &str, source: Option<&str>) -> HostRoute {
        HostRoute {
            destination: destination.parse().expect("a route"),
            index: Some(index),
            source: source.map(|text| text.parse().expect("an address")),
            priority: 0,
        }
    }

    #[test]
    fn devices_with_an_address_or_a_route_lead_outside() {
        let host = HostNetwork {
            links: vec![
                link(1, "lo"),
                link(2, "eth0"),
                HostLink { up: false, ..link(3, "eth1") },
                HostLink { port: true, ..link(4, "veth0") },
                link(5, "bl-0"),
                link(6, "bv0-1234"),
                link(7, "wg0"),
                link(8, "eth2"),
            ],
            addresses: vec![
                address(1, "127.0.0.1"),
                address(2, "192.0.2.1"),
                address(2, "fe80::1"),
                address(3, "192.0.3.1"),
                address(4, "192.0.4.1"),
                address(5, "172.31.0.1"),
                address(8, "fe80::2"),
            ],
            routes: vec![route(2, "0.0.0.0/0", None), route(7, "10.0.0.0/8", None)],
        };
        let uplinks = host.uplinks();
        assert_eq!(uplinks.keys().copied().collect::<Vec<_>>(), [2, 7]);
        assert_eq!(uplinks[&2].spec.addresses, ["192.0.2.1".parse::<IpAddr>().expect("an address")]);
        assert!(uplinks[&7].spec.layer3);
        // An unnumbered link carries the host's address, never a gateway's.
        assert_eq!(uplinks[&7].spec.addresses, uplinks[&2].spec.addresses);
        assert_eq!(host.default_mtu(), 1400);
        assert_eq!(host.local_addresses().len(), 6, "without the loopback");
    }

    #[test]
    fn the_default_routes_source_is_preferred_and_secondary_addresses_come_last() {
        let host = HostNetwork {
            links: vec![link(2, "eth0")],
            addresses: vec![
                HostAddress { secondary: true, ..address(2, "192.0.2.9") },
                address(2, "192.0.2.1"),
                address(2, "198.51.100.7"),
            ],
            routes: vec![
                route(2, "192.0.2.0/24", Some("192.0.2.1")),
                route(2, "0.0.0.0/0", Some("198.51.100.7")),
            ],
        };
        let texts: Vec<String> = host.uplinks()[&2].spec.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["198.51.100.7", "192.0.2.1", "192.0.2.9"]);
    }

    #[test]
    fn without_a_default_route_the_mtu_is_ethernets() {
        assert_eq!(HostNetwork::default().default_mtu(), 1500);
    }
}
