//! The container's place on networks: what it is to have, and bringing that about for a start.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use beeline_net::{Endpoint, EndpointSpec, Families, Netns, mac_of};

use super::Actor;
use crate::container::config::ContainerConfig;
use crate::container::gateway::{self, Candidate, Gateways};
use crate::container::mode::{self, NetworkMode};
use crate::container::ports::Targets;
use crate::container::resolv_conf::Servers;
use crate::container::view::ContainerView;
use crate::error::Error;
use crate::network::{Bridge, EndpointConfig, Lease, Network};

/// A network the container is on, or shall be.
#[derive(Debug, Clone)]
pub(super) struct Joined {
    pub(super) network: Arc<Network>,
    pub(super) config: EndpointConfig,
}

/// The network namespace of a run.
#[derive(Debug)]
pub(super) enum Plan {
    /// The host's, or an own one that the shim makes.
    Plain,
    /// That of a container that runs.
    Shared(Arc<ContainerView>),
    /// An own one on networks, in the order of the interfaces.
    Networks(Vec<Joined>),
}

impl Joined {
    pub(super) fn bridge(&self) -> Result<&Bridge, Error> {
        self.network.as_bridge().ok_or_else(|| {
            let text = if self.network.name() == "host" { mode::HOST } else { mode::NO_NETWORK };
            Error::Invalid(text.into())
        })
    }
}

impl Plan {
    /// Who answers the container's questions for names.
    pub(super) fn servers(&self, config: &ContainerConfig) -> Servers {
        if config.host.mode() == NetworkMode::Host {
            return Servers::Host;
        }
        Servers::on(self.joined().iter().map(|one| &*one.network))
    }

    pub(super) fn joined(&self) -> &[Joined] {
        if let Self::Networks(joined) = self { joined } else { &[] }
    }
}

impl Actor {
    /// What the container's network shall be now.
    pub(super) fn plan_network(&self) -> Result<Plan, Error> {
        let config = &self.record.config;
        if config.network_disabled {
            return Ok(Plan::Plain);
        }
        match config.host.mode() {
            NetworkMode::Host | NetworkMode::None => Ok(Plan::Plain),
            NetworkMode::Container(reference) => {
                let view = self.shared.directory.find(reference)?.view();
                if view.id == self.record.id {
                    return Err(Error::Invalid("cannot join own network".into()));
                }
                if !view.status.state.is_running() {
                    return Err(Error::Conflict(format!(
                        "cannot join network of a non running container: {}",
                        view.id
                    )));
                }
                Ok(Plan::Shared(view))
            }
            NetworkMode::Networks(main) => self.plan_networks(main).map(Plan::Networks),
        }
    }

    /// The networks the container shall be on, `main` the first of them, the others by name.
    fn plan_networks(&self, main: &str) -> Result<Vec<Joined>, Error> {
        let mut wanted = self.record.networks.clone();
        if wanted.is_empty() {
            // It was taken off every network: Docker, too, puts it back on the mode's.
            wanted.insert(main.to_owned(), EndpointConfig::default());
        }
        let first = wanted.remove(main).map(|config| (main.to_owned(), config));
        let mut joined = Vec::new();
        for (name, config) in first.into_iter().chain(wanted) {
            let one = Joined { network: self.shared.networks.find(&name)?, config };
            one.bridge()?;
            joined.push(one);
        }
        Ok(joined)
    }

    /// The networks the container is on now, in the order of their names.
    pub(super) fn connected(&self) -> Vec<(Joined, Endpoint)> {
        let connected = self.runtime.connections.iter().filter_map(|(id, connection)| {
            let network = self.shared.networks.get(id)?;
            let config = self.record.networks.get(network.name()).cloned().unwrap_or_default();
            Some((Joined { network, config }, connection.endpoint.clone()?))
        });
        let mut connected: Vec<_> = connected.collect();
        connected.sort_by(|(one, _), (other, _)| one.network.name().cmp(other.network.name()));
        connected
    }

    /// Leases addresses on all of the networks, and forgets those on networks that are gone.
    pub(super) fn lease(&mut self, joined: &[Joined]) -> Result<(), Error> {
        self.runtime.connections.retain(|id, _| joined.iter().any(|one| one.network.id == *id));
        for one in joined {
            let lease = one.bridge()?.lease(&self.record.id, &one.config)?;
            self.runtime.connections.entry(one.network.id.clone()).or_default().lease = lease;
        }
        Ok(())
    }

    /// The addresses leased on a network.
    pub(super) fn lease_on(&self, network: &Network) -> Lease {
        self.runtime.connections.get(&network.id).map(|connection| connection.lease).unwrap_or_default()
    }

    /// Connects a namespace without devices with networks. What was made before a failure is in the answer, too.
    pub(super) async fn attach_all(
        &self,
        netns: &Netns,
        joined: &[Joined],
    ) -> (BTreeMap<String, Endpoint>, Result<(), Error>) {
        let gateways = gateways(joined);
        let mut made = BTreeMap::new();
        for (at, one) in joined.iter().enumerate() {
            let routes = Families { ipv4: gateways.ipv4 == Some(at), ipv6: gateways.ipv6 == Some(at) };
            match self.attach_one(netns, one, routes, made.values()).await {
                Ok(endpoint) => drop(made.insert(one.network.id.clone(), endpoint)),
                Err(error) => return (made, Err(error)),
            }
        }
        (made, Ok(()))
    }

    /// Connects a namespace, which has the devices of `others`, with a network.
    pub(super) async fn attach_one(
        &self,
        netns: &Netns,
        joined: &Joined,
        routes: Families,
        others: impl Iterator<Item = &Endpoint>,
    ) -> Result<Endpoint, Error> {
        let bridge = joined.bridge()?;
        let lease = self.lease_on(&joined.network);
        let own = lease.addresses().next().map(mac_of);
        let spec = EndpointSpec {
            id: self.record.id.to_string(),
            network: bridge.spec.id,
            ifname: interface_name(bridge, &joined.config, others),
            ipv4: lease.ipv4,
            ipv6: lease.ipv6,
            mac: joined.config.mac().or(own).unwrap_or_default(),
            routes,
        };
        self.shared.net.attach(netns.as_fd(), spec).await.map_err(|error| {
            Error::internal(
                format!(
                    "failed to set up container networking for {} on network {}",
                    self.record.name,
                    joined.network.name()
                ),
                &error,
            )
        })
    }

    /// Leads the questions for names that come from the namespace to the resolver of one of its networks.
    pub(super) async fn lead_questions(
        &self,
        netns: &Netns,
        connected: impl Iterator<Item = (&Joined, &Endpoint)>,
    ) -> Result<(), Error> {
        let connected =
            connected.map(|(one, endpoint)| (&*one.network, one.config.gateway_priority, endpoint));
        let Some((endpoint, resolver)) = self.shared.resolver_for(connected) else { return Ok(()) };
        self.shared.net.set_resolver(netns.as_fd(), endpoint, resolver).await.map_err(|error| {
            Error::internal(format!("lead the name queries of container {}", self.record.name), &error)
        })
    }

    /// The same for the networks the container is on now.
    pub(super) async fn lead_connected(&self, netns: &Netns) -> Result<(), Error> {
        let connected = self.connected();
        self.lead_questions(netns, connected.iter().map(|(one, endpoint)| (one, endpoint))).await
    }

    /// Where published ports lead: to the addresses on the networks with the gateways.
    pub(super) fn targets(&self) -> Targets {
        let connected = self.connected();
        let joined: Vec<Joined> = connected.iter().map(|(one, _)| one.clone()).collect();
        let gateways = gateways(&joined);
        let at = |position: Option<usize>| position.and_then(|at| connected.get(at));
        let binding = |joined: &Joined| joined.network.as_bridge()?.options.host_binding;
        Targets {
            ipv4: at(gateways.ipv4).and_then(|(_, end)| Some(end.ipv4?.ip)),
            ipv6: at(gateways.ipv6).and_then(|(_, end)| Some(end.ipv6?.ip)),
            binding: at(gateways.ipv4).and_then(|(one, _)| binding(one)),
        }
    }
}

/// The positions of those that the default routes lead by.
pub(super) fn gateways(joined: &[Joined]) -> Gateways {
    let candidate = |one: &Joined| {
        let spec = one.network.as_bridge().map(|bridge| bridge.spec.clone());
        (one.network.name().to_owned(), one.config.gateway_priority, spec)
    };
    let all: Vec<_> = joined.iter().map(candidate).collect();
    let candidates: Vec<Candidate<'_>> = all
        .iter()
        .map(|(name, priority, spec)| Candidate {
            name,
            priority: *priority,
            internal: spec.as_ref().is_none_or(|spec| spec.internal),
            ipv4: spec.as_ref().is_some_and(|spec| spec.ipv4.is_some()),
            ipv6: spec.as_ref().is_some_and(|spec| spec.ipv6.is_some()),
        })
        .collect();
    gateway::choose(&candidates)
}

/// The interface's name: the one asked for, else the first of `eth0`, `eth1`, … that is free.
fn interface_name<'a>(
    bridge: &Bridge,
    config: &EndpointConfig,
    others: impl Iterator<Item = &'a Endpoint>,
) -> String {
    if let Some(name) = config.interface() {
        return name.to_owned();
    }
    let taken: Vec<&str> = others.map(|endpoint| endpoint.ifname.as_str()).collect();
    let mut number = 0;
    loop {
        let name = format!("{}{number}", bridge.options.interface_prefix);
        if !taken.contains(&name.as_str()) {
            return name;
        }
        number += 1;
    }
}
