//! The default network, `bridge`, and Docker's two others without a device, `host` and `none`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beeline_net::{EndpointSpec, Ipam, NetworkSpec, mac_of};
use ipnet::Ipv4Net;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::leases::Leases;
use super::{NetworkMember, NetworkView};
use crate::container::config::ContainerConfig;
use crate::container::record::{Record, Runtime};
use crate::container::view::{ContainerView, EndpointView};
use crate::error::Error;
use crate::identity::ContainerId;

/// The id of the default network in the datapath.
pub(crate) const DEFAULT_ID: u32 = 1;

/// What is known of a network without looking at its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetworkName {
    pub(crate) id: String,
    pub(crate) name: &'static str,
    pub(crate) driver: &'static str,
}

/// The instance's networks.
#[derive(Debug)]
pub(crate) struct DefaultNetwork {
    spec: NetworkSpec,
    created: Timestamp,
    names: [NetworkName; 3],
    leases: Mutex<Leases>,
}

impl DefaultNetwork {
    /// The networks of an engine whose id is `engine`; their own ids derive from it, and stay the same.
    ///
    /// # Errors
    /// The subnet cannot hold a network.
    pub(crate) fn new(spec: NetworkSpec, engine: &str, created: Timestamp) -> Result<Self, Error> {
        let pool = Ipam::new(spec.subnet, spec.gateway).map_err(|error| Error::Invalid(error.to_string()))?;
        let name =
            |name: &'static str, driver| NetworkName { id: derive(&[engine, "network", name]), name, driver };
        let names = [name("bridge", "bridge"), name("host", "host"), name("none", "null")];
        Ok(Self { spec, created, names, leases: Mutex::new(Leases::new(pool)) })
    }

    pub(crate) fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.spec.gateway
    }

    /// Whether a container is on the default network.
    pub(crate) fn is_default(&self, config: &ContainerConfig) -> bool {
        self.of_mode(config).is_some_and(|network| network.name == "bridge")
    }

    /// The network a container asks for.
    pub(crate) fn of_mode(&self, config: &ContainerConfig) -> Option<&NetworkName> {
        if config.network_disabled {
            return None;
        }
        let mode = match config.host.network_mode.as_str() {
            "" | "default" => "bridge",
            mode => mode,
        };
        self.names.iter().find(|network| network.name == mode)
    }

    /// Leases an address for a start: the one the container had before if it is still its own, else a new one.
    ///
    /// # Errors
    /// Every address belongs to a running container.
    pub(crate) fn lease(&self, id: &ContainerId, held: Option<Ipv4Addr>) -> Result<Ipv4Addr, Error> {
        self.leases().take(id, held)
    }

    /// Takes a stored lease into the pool; false if it does not fit the network any more.
    pub(crate) fn restore(&self, id: &ContainerId, address: Ipv4Addr) -> bool {
        self.leases().restore(id, address)
    }

    /// The container has stopped: its address stays its own as long as no other has to have it.
    pub(crate) fn rest(&self, id: &ContainerId, address: Ipv4Addr) {
        self.leases().rest(id, address);
    }

    /// The container is removed.
    pub(crate) fn release(&self, id: &ContainerId, address: Ipv4Addr) {
        self.leases().release(id, address);
    }

    /// What the datapath is told of a container.
    pub(crate) fn endpoint_spec(&self, id: &ContainerId, ip: Ipv4Addr) -> EndpointSpec {
        EndpointSpec { id: id.to_string(), network: self.spec.id, ifname: "eth0".into(), ip, mac: mac_of(ip) }
    }

    /// A container's connection, as listings show it.
    pub(crate) fn endpoint_views(&self, record: &Record, runtime: &Runtime) -> Vec<EndpointView> {
        let Some(network) = self.of_mode(&record.config) else { return Vec::new() };
        let mut view = EndpointView {
            network: network.name.to_owned(),
            network_id: network.id.clone(),
            endpoint_id: String::new(),
            address: None,
            prefix_len: 0,
            gateway: None,
            mac: String::new(),
            interface: String::new(),
            host_interface: String::new(),
        };
        if let Some(endpoint) = &runtime.endpoint {
            view.endpoint_id = derive(&[&network.id, "endpoint", record.id.as_str()]);
            view.address = Some(endpoint.ip);
            view.prefix_len = endpoint.prefix_len;
            view.gateway = Some(endpoint.gateway);
            view.mac = format_mac(endpoint.mac);
            view.interface.clone_from(&endpoint.ifname);
            view.host_interface.clone_from(&endpoint.host_ifname);
        }
        vec![view]
    }

    /// All networks, with those of `containers` that are connected.
    pub(crate) fn views(&self, containers: &[Arc<ContainerView>]) -> Vec<NetworkView> {
        self.names.iter().map(|network| self.view(network, containers)).collect()
    }

    fn view(&self, network: &NetworkName, containers: &[Arc<ContainerView>]) -> NetworkView {
        let has_device = network.driver == "bridge";
        let member = |container: &Arc<ContainerView>| {
            let endpoint = container.endpoints.iter().find(|endpoint| endpoint.network_id == network.id)?;
            container.status.state.is_running().then(|| NetworkMember {
                id: container.id.clone(),
                name: container.name.clone(),
                endpoint_id: endpoint.endpoint_id.clone(),
                mac: endpoint.mac.clone(),
                address: endpoint.address.and_then(|ip| Ipv4Net::new(ip, endpoint.prefix_len).ok()),
            })
        };
        let mut options = BTreeMap::new();
        if has_device {
            // Docker's keys, for tools that look for them.
            for (key, value) in [
                ("com.docker.network.bridge.default_bridge", "true".to_owned()),
                ("com.docker.network.bridge.enable_icc", self.spec.icc.to_string()),
                ("com.docker.network.bridge.enable_ip_masquerade", self.spec.masquerade.to_string()),
                ("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0".to_owned()),
                ("com.docker.network.bridge.name", self.spec.device.clone()),
            ] {
                options.insert(key.to_owned(), value);
            }
            if let Some(mtu) = self.spec.mtu {
                options.insert("com.docker.network.driver.mtu".into(), mtu.to_string());
            }
        }
        NetworkView {
            id: network.id.clone(),
            name: network.name.to_owned(),
            created: self.created,
            driver: network.driver.to_owned(),
            device: if has_device { self.spec.device.clone() } else { String::new() },
            subnet: has_device.then_some(self.spec.subnet),
            gateway: has_device.then_some(self.spec.gateway),
            internal: false,
            options,
            labels: BTreeMap::new(),
            members: containers.iter().filter_map(member).collect(),
        }
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        // Its methods do not panic half way.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 64 hexadecimal digits that depend on all parts.
fn derive(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex::encode(hash.finalize())
}

fn format_mac(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
