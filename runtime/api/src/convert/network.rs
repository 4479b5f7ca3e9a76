//! Networks, endpoints and ports.

use std::collections::BTreeMap;

use beeline_engine::{ContainerView, EndpointView, NetworkView, PortMapping, PortStatus};
use beeline_wire::container::host_config::{PortBinding, PortMap};
use beeline_wire::container::network_settings::{LegacyAddresses, NetworkSettings};
use beeline_wire::network::{EndpointResource, EndpointSettings, Ipam, IpamConfig, Network};
use beeline_wire::ports::PublishedPort;
use beeline_wire::version::ApiVersion;

pub(crate) fn network(view: &NetworkView, version: ApiVersion, with_members: bool) -> Network {
    let config = view.subnet.map(|subnet| IpamConfig {
        subnet: subnet.to_string(),
        ip_range: String::new(),
        gateway: text(view.gateway),
    });
    let members = view.members.iter().filter(|_| with_members).map(|member| {
        let resource = EndpointResource {
            name: member.name.to_string(),
            endpoint_id: member.endpoint_id.clone(),
            mac_address: member.mac.clone(),
            ipv4_address: text(member.address),
            ipv6_address: String::new(),
        };
        (member.id.to_string(), resource)
    });
    Network {
        name: view.name.clone(),
        id: view.id.clone(),
        created: view.created.to_string(),
        scope: "local".to_owned(),
        driver: view.driver.clone(),
        enable_ipv4: version.since(48).then_some(true),
        enable_ipv6: false,
        ipam: Ipam { driver: "default".to_owned(), options: None, config: config.into_iter().collect() },
        internal: view.internal,
        attachable: false,
        ingress: false,
        config_from: Default::default(),
        config_only: false,
        containers: members.collect(),
        options: view.options.clone(),
        labels: view.labels.clone(),
    }
}

/// A container's `NetworkSettings`.
pub(crate) fn settings(view: &ContainerView, version: ApiVersion) -> NetworkSettings {
    let networks: BTreeMap<_, _> = view
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.network.clone(), self::endpoint(endpoint, view, version)))
        .collect();
    let default = networks.get("bridge").cloned().unwrap_or_default();
    let legacy = LegacyAddresses {
        endpoint_id: default.endpoint_id,
        gateway: default.gateway,
        ip_address: default.ip_address,
        ip_prefix_len: default.ip_prefix_len,
        mac_address: default.mac_address,
        ..LegacyAddresses::default()
    };
    let connected = view.endpoints.iter().any(|endpoint| !endpoint.endpoint_id.is_empty());
    NetworkSettings {
        bridge: String::new(),
        // A container has one sandbox; its id only has to be the container's own.
        sandbox_id: if connected { view.id.to_string() } else { String::new() },
        sandbox_key: String::new(),
        ports: if view.status.state.is_running() { port_map(&view.ports) } else { PortMap::new() },
        legacy: Some(legacy),
        networks,
    }
}

pub(crate) fn endpoint(
    endpoint: &EndpointView,
    view: &ContainerView,
    version: ApiVersion,
) -> EndpointSettings {
    EndpointSettings {
        mac_address: endpoint.mac.clone(),
        gw_priority: version.since(48).then_some(0),
        network_id: endpoint.network_id.clone(),
        endpoint_id: endpoint.endpoint_id.clone(),
        gateway: text(endpoint.gateway),
        ip_address: text(endpoint.address),
        ip_prefix_len: endpoint.prefix_len,
        // The default network resolves no names, and says null.
        dns_names: (endpoint.network != "bridge" && endpoint.address.is_some())
            .then(|| vec![view.name.to_string(), view.id.short().to_owned()]),
        ..EndpointSettings::default()
    }
}

/// Ports by container port; several host addresses of one port are collected, an exposed port maps to null.
fn port_map(ports: &[PortMapping]) -> PortMap {
    let mut map = PortMap::new();
    for port in ports {
        let bindings = map.entry(format!("{}/{}", port.container_port, port.protocol)).or_default();
        if let Some((ip, host_port)) = port.host {
            let binding = PortBinding { host_ip: ip.to_string(), host_port: host_port.to_string() };
            bindings.get_or_insert_default().push(binding);
        }
    }
    map
}

pub(crate) fn published_port(port: &PortStatus) -> PublishedPort {
    let further = port.host_port_end.saturating_sub(port.host_port);
    PublishedPort {
        container_id: port.container.to_string(),
        container_name: port.name.to_string(),
        protocol: port.protocol.to_string(),
        host_ip: port.host_ip.to_string(),
        host_port: port.host_port,
        host_port_last: port.host_port_end,
        container_ip: port.container_ip.to_string(),
        container_port: port.container_port,
        container_port_last: port.container_port.saturating_add(further),
        connections: port.connections,
        packets: port.packets,
        bytes: port.bytes,
    }
}

/// Nothing is the empty string in Docker's addresses.
fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use beeline_engine::Protocol;

    use super::*;

    #[test]
    fn a_port_with_two_host_addresses_is_one_entry() {
        let mapping = |host| PortMapping { container_port: 80, protocol: Protocol::Tcp, host };
        let four = ([127, 0, 0, 1].into(), 8080);
        let six = (std::net::Ipv6Addr::LOCALHOST.into(), 8080);
        let exposed = PortMapping { container_port: 53, protocol: Protocol::Udp, host: None };
        let map = port_map(&[mapping(Some(four)), mapping(Some(six)), exposed]);
        assert_eq!(map["80/tcp"].as_ref().unwrap().len(), 2);
        assert_eq!(map["53/udp"], None);
    }
}
