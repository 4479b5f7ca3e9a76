//! Putting the container on networks and taking it off, while it runs and while it does not.
//!
//! A daemon that dies in between: what was made for a connection that is not in the record is removed by the next one, and
//! so is what is left of a connection that is not in the record any more.

use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use beeline_net::{DefaultRoutes, Endpoint, Families, Netns};
use beeline_spawn::fault::{self, Point};
use beeline_spawn::protocol::{Event, Request, State};

use super::Actor;
use super::network::{Joined, gateways};
use crate::container::files;
use crate::container::mode::{self, NetworkMode};
use crate::container::plan;
use crate::container::policy::Policy;
use crate::container::ports::{self, Published};
use crate::container::record::{Connection, paths};
use crate::container::resolv_conf::{self, Servers};
use crate::container::status::ContainerState;
use crate::error::{Error, chain, fault};
use crate::network::{EndpointConfig, Network, check_endpoint};
use crate::publish::to_net;

impl Actor {
    /// Puts the container on a network.
    pub(super) async fn connect(
        &mut self,
        network: Arc<Network>,
        config: EndpointConfig,
    ) -> Result<(), Error> {
        self.check_change()?;
        check_endpoint(Some(&network), network.name(), &config)?;
        let joined = Joined { network, config };
        joined.bridge()?;
        let name = joined.network.name().to_owned();
        if self.state().is_running() {
            if self.runtime.connections.contains_key(&joined.network.id) {
                return Err(Error::Forbidden(format!(
                    "endpoint with name {} already exists in network {name}",
                    self.record.name
                )));
            }
            return self.connect_live(joined).await;
        }
        let old = self.record.networks.insert(name.clone(), joined.config);
        if let Err(error) = self.shared.database.put(&self.record, &self.runtime).await {
            match old {
                Some(old) => drop(self.record.networks.insert(name, old)),
                None => drop(self.record.networks.remove(&name)),
            }
            return Err(error);
        }
        self.show();
        Ok(())
    }

    /// Takes the container off a network.
    pub(super) async fn disconnect(&mut self, name: &str) -> Result<(), Error> {
        if self.record.config.host.mode() == NetworkMode::Host && name == "host" {
            return Err(Error::Invalid(mode::HOST.into()));
        }
        self.check_change()?;
        let Some(config) = self.record.networks.remove(name) else {
            return Err(Error::Conflict(format!(
                "container {} is not connected to network {name}",
                self.record.id
            )));
        };
        let before = self.servers();
        let network = self.shared.networks.find(name).ok();
        let connection = network.as_ref().and_then(|network| self.runtime.connections.remove(&network.id));
        let is_live = connection.as_ref().filter(|connection| connection.endpoint.is_some());
        self.runtime.moving = is_live.map(|connection| connection.lease);
        let stored = match fault(Point::DisconnectRecord) {
            Ok(()) => self.shared.database.put(&self.record, &self.runtime).await,
            Err(error) => Err(error),
        };
        if let Err(error) = stored {
            self.runtime.moving = None;
            self.record.networks.insert(name.to_owned(), config);
            if let (Some(network), Some(connection)) = (&network, connection) {
                self.runtime.connections.insert(network.id.clone(), connection);
            }
            return Err(error);
        }
        let result = match connection.and_then(|connection| connection.endpoint) {
            Some(endpoint) => self.disconnect_live(&endpoint, before).await,
            None => Ok(()),
        };
        if let Some(network) = &network {
            if let Some(bridge) = network.as_bridge() {
                bridge.release(&self.record.id);
            }
            self.show();
            self.network_event("disconnect", network);
        }
        result
    }

    fn check_change(&self) -> Result<(), Error> {
        if matches!(self.state(), ContainerState::Removing | ContainerState::Dead) {
            return Err(Error::Conflict(format!(
                "container {} is marked for removal and cannot be connected or disconnected to the network",
                self.record.id
            )));
        }
        let config = &self.record.config;
        match config.host.mode() {
            NetworkMode::Host | NetworkMode::Container(_) => Err(Error::Invalid(mode::SHARED.into())),
            NetworkMode::None => Err(Error::Invalid(mode::NO_NETWORK.into())),
            NetworkMode::Networks(_) if config.network_disabled => {
                Err(Error::Invalid(mode::NO_NETWORK.into()))
            }
            NetworkMode::Networks(_) => Ok(()),
        }
    }

    async fn connect_live(&mut self, joined: Joined) -> Result<(), Error> {
        let netns = self.namespace().await?;
        let before = self.servers();
        let (bridge, id) = (joined.bridge()?, joined.network.id.clone());
        let lease = bridge.lease(&self.record.id, &joined.config)?;
        self.runtime.connections.insert(id.clone(), Connection { lease, endpoint: None });
        self.runtime.moving = Some(lease);
        let attached = match self.shared.database.put_runtime(&self.record.id, &self.runtime).await {
            Ok(()) => self.attach_further(&netns, &joined).await,
            Err(error) => Err(error),
        };
        let endpoint = match attached {
            Ok(endpoint) => endpoint,
            Err(error) => {
                self.runtime.connections.remove(&id);
                self.runtime.moving = None;
                bridge.release(&self.record.id);
                self.store().await;
                return Err(error);
            }
        };
        if let Some(connection) = self.runtime.connections.get_mut(&id) {
            connection.endpoint = Some(endpoint.clone());
        }
        self.record.networks.insert(joined.network.name().to_owned(), joined.config);
        fault::pass(Point::ConnectRoutes);
        let followed = self.follow_gateways(&netns).await;
        self.rewrite_hosts(&[], &endpoint.addresses().collect::<Vec<_>>()).await;
        self.rewrite_resolv_conf(before).await;
        fault::pass(Point::ConnectRecord);
        self.runtime.moving = None;
        let stored = self.shared.database.put(&self.record, &self.runtime).await;
        self.show();
        // Not before it is known by its new address: the resolver answers none but members.
        let led = self.lead_connected(&netns).await;
        self.network_event("connect", &joined.network);
        fault::pass(Point::ConnectDone);
        followed.and(stored).and(led)
    }

    async fn attach_further(&self, netns: &Netns, joined: &Joined) -> Result<Endpoint, Error> {
        fault(Point::ConnectAttach)?;
        let present = self.connected();
        let mut all: Vec<Joined> = present.iter().map(|(one, _)| one.clone()).collect();
        all.push(joined.clone());
        let gateways = gateways(&all);
        let last = Some(all.len() - 1);
        let routes = Families { ipv4: gateways.ipv4 == last, ipv6: gateways.ipv6 == last };
        self.attach_one(netns, joined, routes, present.iter().map(|(_, endpoint)| endpoint)).await
    }

    /// Removes the device of a connection that the record does not have any more.
    async fn disconnect_live(&mut self, endpoint: &Endpoint, before: Servers) -> Result<(), Error> {
        fault::pass(Point::DisconnectDevice);
        let removed =
            self.shared.net.remove(endpoint).await.map_err(|error| {
                Error::internal(format!("disconnect container {}", self.record.name), &error)
            });
        self.runtime.published.retain(|publish| endpoint.addresses().all(|own| own != publish.container_ip));
        fault::pass(Point::DisconnectRoutes);
        let followed = match self.namespace().await {
            Ok(netns) => self.follow_gateways(&netns).await.and(self.lead_connected(&netns).await),
            // It has ended meanwhile.
            Err(_) => Ok(()),
        };
        self.rewrite_hosts(&endpoint.addresses().collect::<Vec<_>>(), &[]).await;
        self.rewrite_resolv_conf(before).await;
        self.runtime.moving = None;
        self.store().await;
        fault::pass(Point::DisconnectDone);
        removed.and(followed)
    }

    /// Has everything follow that the container is not on a network: an earlier daemon died while it was put there, or taken
    /// off.
    pub(super) async fn settle_connections(&mut self, netns: &Netns) -> Result<(), Error> {
        let Some(lease) = self.runtime.moving.take() else { return Ok(()) };
        let followed = self.follow_gateways(netns).await;
        self.rewrite_hosts(&lease.addresses().collect::<Vec<_>>(), &[]).await;
        let before = match self.servers() {
            Servers::Resolver => Servers::Reachable,
            _ => Servers::Resolver,
        };
        self.rewrite_resolv_conf(before).await;
        self.store().await;
        self.show();
        followed
    }

    /// The network namespace of the container, which runs.
    pub(super) async fn namespace(&mut self) -> Result<Netns, Error> {
        let gone = || Error::Conflict(format!("container {} is not running", self.record.id));
        let pid = self.runtime.status.pid;
        let netns = Netns::of_process(pid).map_err(|_| gone())?;
        let link = self.link.as_mut().ok_or_else(gone)?;
        // The shim has not waited for init yet, so the process that was opened is init and no later one of its number.
        match link.ask(&Request::Status).await {
            Ok(Event::Status(status)) if status.state == State::Running && status.pid == pid => Ok(netns),
            _ => Err(gone()),
        }
    }

    /// Has the default routes lead by the networks that are first now, and the published ports to the addresses there.
    async fn follow_gateways(&mut self, netns: &Netns) -> Result<(), Error> {
        let connected = self.connected();
        let joined: Vec<Joined> = connected.iter().map(|(one, _)| one.clone()).collect();
        let gateways = gateways(&joined);
        let by = |position: Option<usize>| position.and_then(|at| connected.get(at)).map(|(_, end)| end);
        let routes = DefaultRoutes { ipv4: by(gateways.ipv4), ipv6: by(gateways.ipv6) };
        let routed = self.shared.net.set_default_routes(netns.as_fd(), routes).await;
        self.republish().await?;
        routed.map_err(|error| {
            Error::internal(format!("move the default route of container {}", self.record.name), &error)
        })
    }

    /// Moves published ports to the addresses that they lead to now; a family that comes new gets them all.
    async fn republish(&mut self) -> Result<(), Error> {
        let targets = self.targets();
        let shared = self.shared.clone();
        let before = std::mem::take(&mut self.runtime.published);
        let (same, moved): (Vec<_>, Vec<_>) = before
            .into_iter()
            .partition(|publish| targets.of(publish.container_ip) == Some(publish.container_ip));
        if let Err(error) = shared.net.unpublish(&moved.iter().map(to_net).collect::<Vec<_>>()).await {
            tracing::error!(container = %self.record.id, error = chain(&error), "ports stay published");
        }
        let moved: Vec<Published> = moved
            .into_iter()
            .filter_map(|publish| {
                Some(Published { container_ip: targets.of(publish.container_ip)?, ..publish })
            })
            .collect();
        self.runtime.published = same;
        let has = |ipv4: bool| move |publish: &Published| publish.container_ip.is_ipv4() == ipv4;
        let all: Vec<Published> = self.runtime.published.iter().chain(&moved).copied().collect();
        let missing = targets.without(all.iter().any(has(true)), all.iter().any(has(false)));
        let policy = Policy::of(&self.record.config.labels)?;
        let again = shared.publish_again(&moved, &policy).await;
        let requests = ports::requests(&self.record.config, shared.config.publish_address)?;
        let added = shared.publish(&requests, missing, &policy).await;
        self.runtime.published.extend(again.map_err(|failure| self.publish_error(failure))?);
        self.runtime.published.extend(added.map_err(|failure| self.publish_error(failure))?);
        Ok(())
    }

    /// Who answers the container's questions for names, which has networks of its own.
    fn servers(&self) -> Servers {
        let connected = self.connected();
        Servers::on(connected.iter().map(|(one, _)| &*one.network))
    }

    /// Has the container's /etc/resolv.conf name who answers now, unless someone has written another.
    async fn rewrite_resolv_conf(&self, before: Servers) {
        let now = self.servers();
        if now == before {
            return;
        }
        let path = paths(&self.shared.config.root, &self.record, Vec::new()).resolv_conf;
        let config = self.record.config.clone();
        let rewritten = tokio::task::spawn_blocking(move || {
            let content =
                |servers| resolv_conf::content(&resolv_conf::of_host(servers), &config.host, servers);
            if std::fs::read_to_string(&path)? == content(before) {
                // In place: it is a bind mount's source in the container.
                std::fs::write(&path, content(now))?;
            }
            Ok::<_, std::io::Error>(())
        });
        if let Ok(Err(error)) = rewritten.await {
            tracing::warn!(container = %self.record.id, %error, "/etc/resolv.conf of the container not changed");
        }
    }

    /// Changes the container's lines in its /etc/hosts; what else is there stays.
    async fn rewrite_hosts(&self, gone: &[IpAddr], come: &[IpAddr]) {
        let config = &self.record.config;
        let path = paths(&self.shared.config.root, &self.record, Vec::new()).hosts;
        let name = plan::hostname(&self.record.id, config);
        let lines = |addresses: &[IpAddr]| -> Vec<String> {
            addresses.iter().map(|address| files::host_line(*address, name, &config.domainname)).collect()
        };
        let (gone, come) = (lines(gone), lines(come));
        let rewritten = tokio::task::spawn_blocking(move || {
            let text = std::fs::read_to_string(&path)?;
            // In place: it is a bind mount's source in the container.
            std::fs::write(&path, files::replace_lines(&text, &gone, &come))
        });
        if let Ok(Err(error)) = rewritten.await {
            tracing::warn!(container = %self.record.id, %error, "/etc/hosts of the container not changed");
        }
    }
}
