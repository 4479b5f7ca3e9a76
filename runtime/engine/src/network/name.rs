//! What containers are called on the networks they are on, and where they ask: what the resolver is told.

use std::net::SocketAddrV4;

use beeline_net::Endpoint;
use beeline_net::dns::{Link, Member, Zone};

use super::{Bridge, Network, Networks};
use crate::container::resolv_conf;
use crate::container::view::{ContainerView, EndpointView};
use crate::error::{Error, chain};
use crate::shared::Shared;

impl Network {
    /// Whether its members find each other by name: on the default network they do not, as with Docker.
    fn has_names(&self) -> bool {
        !self.is_builtin()
    }

    /// Whether a member can ask for names there.
    pub(crate) fn has_resolver(&self) -> bool {
        self.has_names() && self.as_bridge().is_some_and(|bridge| bridge.spec.ipv4.is_some())
    }

    /// Its names for the resolver. The default network has none, but a way outside.
    fn zone(&self, bridge: &Bridge) -> Zone {
        Zone {
            network: bridge.spec.id,
            name: self.name().to_owned(),
            subnets: bridge.spec.ranges().map(|(subnet, _)| subnet).collect(),
            internal: bridge.spec.internal,
        }
    }
}

impl Shared {
    /// Serves the names of a network, whose device is there.
    ///
    /// # Errors
    /// The resolver cannot listen there.
    pub(crate) fn serve_names(&self, network: &Network) -> Result<(), Error> {
        let Some(bridge) = network.as_bridge() else { return Ok(()) };
        let gateway = bridge.spec.ipv4.filter(|_| network.has_resolver()).map(|range| range.gateway);
        let served = self.resolver.add_network(network.zone(bridge), gateway);
        served.map(drop).map_err(|error| {
            Error::internal(format!("answer for the names of network {}", network.name()), &error)
        })
    }

    /// Tells the resolver what is different of a container that readers saw as `old`. Others find its new names when this
    /// returns.
    pub(crate) fn tell_names(&self, old: &ContainerView, new: &ContainerView) {
        let (before, after) = (members(&self.networks, old), members(&self.networks, new));
        for gone in before.iter().filter(|one| !after.iter().any(|other| other.network == one.network)) {
            self.resolver.remove_member(gone.network, &gone.container);
        }
        for member in after.into_iter().filter(|member| !before.contains(member)) {
            self.tell(member);
        }
    }

    /// Tells the resolver, which is new, of a container.
    pub(crate) fn tell_all_names(&self, view: &ContainerView) {
        for member in members(&self.networks, view) {
            self.tell(member);
        }
    }

    fn tell(&self, member: Member) {
        let container = member.container.clone();
        // The network is being removed.
        if let Err(error) = self.resolver.set_member(member) {
            tracing::debug!(container, error = chain(&error), "the container's names are not known");
        }
    }

    /// Where a container asks for names that is on these networks with these priorities, and by which endpoint: on the
    /// network with the highest, then the first by name.
    pub(crate) fn resolver_for<'a>(
        &self,
        connected: impl Iterator<Item = (&'a Network, i64, &'a Endpoint)>,
    ) -> Option<(&'a Endpoint, SocketAddrV4)> {
        let candidates = connected.filter_map(|(network, priority, endpoint)| {
            let resolver = self.resolver.address(network.as_bridge()?.spec.id)?;
            Some(((std::cmp::Reverse(priority), network.name()), (endpoint, resolver)))
        });
        candidates.min_by_key(|(rank, _)| *rank).map(|(_, found)| found)
    }
}

/// What a container is called on the networks it is connected with.
fn members(networks: &Networks, view: &ContainerView) -> Vec<Member> {
    let connected = view.endpoints.iter().filter(|endpoint| !endpoint.endpoint_id.is_empty());
    connected.filter_map(|endpoint| member(networks, view, endpoint)).collect()
}

fn member(networks: &Networks, view: &ContainerView, endpoint: &EndpointView) -> Option<Member> {
    let network = networks.get(&endpoint.network_id)?;
    let links = endpoint.config.links.iter().filter(|_| network.has_names()).map(|link| parse_link(link));
    Some(Member {
        network: network.as_bridge()?.spec.id,
        container: view.id.to_string(),
        names: endpoint.dns_names.clone(),
        addresses: endpoint.addresses().collect(),
        links: links.map(|(alias, target)| Link { alias, target }).collect(),
        priority: endpoint.config.gateway_priority,
        servers: resolv_conf::own_servers(&view.config.host),
    })
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
