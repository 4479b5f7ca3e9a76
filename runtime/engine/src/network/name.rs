//! What containers are called on the networks they are on: what a name server has to know.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::identity::ContainerId;
use crate::shared::Shared;

/// A connected container's names on one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRecord {
    /// The network's id, 64 hexadecimal digits.
    pub network_id: String,
    /// The network's id in the datapath.
    pub network: u32,
    /// The container.
    pub container: ContainerId,
    /// Its name, its aliases on this network, the beginning of its id and its host name, each once. Several containers may
    /// have the same.
    pub names: Vec<String>,
    /// Names that this container alone has for others: the name, and the other container's name or id.
    pub links: Vec<(String, String)>,
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
}

/// The names of every connected container on every network of a user's: the others resolve none.
pub(crate) fn names(shared: &Shared) -> Vec<NameRecord> {
    let mut records = Vec::new();
    for view in shared.directory.views() {
        for endpoint in view.endpoints.iter().filter(|endpoint| !endpoint.dns_names.is_empty()) {
            let Some(network) = shared.networks.get(&endpoint.network_id) else { continue };
            let Some(bridge) = network.as_bridge().filter(|_| !endpoint.endpoint_id.is_empty()) else {
                continue;
            };
            records.push(NameRecord {
                network_id: network.id.clone(),
                network: bridge.spec.id,
                container: view.id.clone(),
                names: endpoint.dns_names.clone(),
                links: endpoint.config.links.iter().map(|link| parse_link(link)).collect(),
                ipv4: endpoint.ipv4.map(|address| address.addr()),
                ipv6: endpoint.ipv6.map(|address| address.addr()),
            });
        }
    }
    records
}

/// `CONTAINER` or `CONTAINER:NAME` as name and container.
pub(crate) fn parse_link(link: &str) -> (String, String) {
    let (container, name) = link.split_once(':').unwrap_or((link, link));
    let container = container.trim_start_matches('/');
    // Docker writes `/db:/web/name`.
    let name = name.rsplit('/').next().unwrap_or(name);
    (name.to_owned(), container.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_a_name_of_its_own_or_the_containers() {
        for (text, name, container) in
            [("db", "db", "db"), ("db:store", "store", "db"), ("/db:/web/store", "store", "db")]
        {
            assert_eq!(parse_link(text), (name.to_owned(), container.to_owned()), "{text}");
        }
    }
}
