//! Networks, endpoints and ports.

use std::collections::BTreeMap;

use beeline_engine as engine;
use beeline_engine::{
    ContainerView, EndpointConfig, EndpointView, NetworkConfig, NetworkView, PoolConfig, PoolView,
    PortMapping, PortRule, PortStatus,
};
use beeline_wire::container::host_config::{PortBinding, PortMap};
use beeline_wire::container::network_settings::{LegacyAddresses, NetworkSettings};
use beeline_wire::network::{
    EndpointIpamConfig, EndpointResource, EndpointSettings, Ipam, IpamConfig, Network, NetworkCreateRequest,
};
use beeline_wire::ports::{PortRule as WireRule, PublishedPort};
use beeline_wire::version::ApiVersion;

use super::list;
use crate::http::error::ApiError;

pub(crate) fn network(view: &NetworkView, version: ApiVersion, with_members: bool) -> Network {
    let members = view.members.iter().filter(|_| with_members).map(|member| {
        let resource = EndpointResource {
            name: member.name.to_string(),
            endpoint_id: member.endpoint_id.clone(),
            mac_address: member.mac.clone(),
            ipv4_address: text(member.ipv4),
            ipv6_address: text(member.ipv6),
        };
        (member.id.to_string(), resource)
    });
    Network {
        name: view.name.clone(),
        id: view.id.clone(),
        created: view.created.to_string(),
        scope: "local".to_owned(),
        driver: view.driver.clone(),
        enable_ipv4: version.since(48).then_some(view.enable_ipv4),
        enable_ipv6: view.enable_ipv6,
        ipam: Ipam {
            driver: "default".to_owned(),
            options: view.ipam_options.clone(),
            config: view.pools.iter().map(pool).collect(),
        },
        internal: view.internal,
        attachable: view.attachable,
        ingress: false,
        config_from: Default::default(),
        config_only: false,
        containers: members.collect(),
        options: view.options.clone(),
        labels: view.labels.clone(),
    }
}

fn pool(pool: &PoolView) -> IpamConfig {
    IpamConfig {
        subnet: pool.subnet.to_string(),
        ip_range: text(pool.range),
        gateway: pool.gateway.to_string(),
        auxiliary_addresses: pool
            .auxiliary
            .iter()
            .map(|(name, address)| (name.clone(), address.to_string()))
            .collect(),
    }
}

/// What a client asks for when it creates a network.
pub(crate) fn config(request: NetworkCreateRequest) -> Result<NetworkConfig, ApiError> {
    if !matches!(request.scope.as_str(), "" | "local") || request.ingress {
        return Err(ApiError::not_implemented("networks of a swarm are not supported"));
    }
    let takes_over = request.config_from.is_some_and(|from| !from.network.is_empty());
    if request.config_only || takes_over {
        return Err(ApiError::not_implemented("networks that only hold a configuration are not supported"));
    }
    let ipam = request.ipam.unwrap_or_default();
    let pools = ipam.config.into_iter().map(|pool| PoolConfig {
        subnet: pool.subnet,
        ip_range: pool.ip_range,
        gateway: pool.gateway,
        auxiliary: pool.auxiliary_addresses,
    });
    Ok(NetworkConfig {
        name: request.name,
        driver: request.driver,
        enable_ipv4: request.enable_ipv4,
        enable_ipv6: request.enable_ipv6.unwrap_or(false),
        internal: request.internal,
        attachable: request.attachable,
        ipam: engine::IpamConfig { driver: ipam.driver, options: ipam.options, pools: pools.collect() },
        options: request.options,
        labels: request.labels,
    })
}

/// A container's wishes on a network.
pub(crate) fn endpoint_config(settings: EndpointSettings) -> EndpointConfig {
    let addresses = settings.ipam_config.unwrap_or_default();
    EndpointConfig {
        ipv4_address: addresses.ipv4_address,
        ipv6_address: addresses.ipv6_address,
        link_local_addresses: addresses.link_local_ips.unwrap_or_default(),
        mac_address: settings.mac_address,
        aliases: settings.aliases.unwrap_or_default(),
        links: settings.links.unwrap_or_default(),
        gateway_priority: settings.gw_priority.unwrap_or_default(),
        driver_options: settings.driver_opts.unwrap_or_default(),
    }
}

/// A container's `NetworkSettings`.
pub(crate) fn settings(view: &ContainerView, version: ApiVersion) -> NetworkSettings {
    let networks: BTreeMap<_, _> = view
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.network.clone(), self::endpoint(endpoint, version)))
        .collect();
    let default = networks.get("bridge").cloned().unwrap_or_default();
    let legacy = LegacyAddresses {
        endpoint_id: default.endpoint_id,
        gateway: default.gateway,
        ip_address: default.ip_address,
        ip_prefix_len: default.ip_prefix_len,
        global_ipv6_address: default.global_ipv6_address,
        global_ipv6_prefix_len: default.global_ipv6_prefix_len,
        ipv6_gateway: default.ipv6_gateway,
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

pub(crate) fn endpoint(endpoint: &EndpointView, version: ApiVersion) -> EndpointSettings {
    let asked = &endpoint.config;
    let mut aliases = asked.aliases.clone();
    if !version.since(45) {
        // What is in DNSNames since then.
        aliases
            .extend(endpoint.dns_names.iter().filter(|name| !asked.aliases.contains(name)).skip(1).cloned());
    }
    let has_addresses = !asked.ipv4_address.is_empty() || !asked.ipv6_address.is_empty();
    let connected = !endpoint.endpoint_id.is_empty();
    EndpointSettings {
        ipam_config: has_addresses.then(|| EndpointIpamConfig {
            ipv4_address: asked.ipv4_address.clone(),
            ipv6_address: asked.ipv6_address.clone(),
            link_local_ips: None,
        }),
        links: list(asked.links.clone()),
        aliases: list(aliases),
        mac_address: if connected { endpoint.mac.clone() } else { asked.mac_address.clone() },
        driver_opts: Some(asked.driver_options.clone()).filter(|options| !options.is_empty()),
        gw_priority: version.since(48).then_some(asked.gateway_priority),
        network_id: endpoint.network_id.clone(),
        endpoint_id: endpoint.endpoint_id.clone(),
        gateway: text(endpoint.gateway4),
        ip_address: text(endpoint.ipv4.map(|address| address.addr())),
        ip_prefix_len: endpoint.ipv4.map_or(0, |address| address.prefix_len()),
        ipv6_gateway: text(endpoint.gateway6),
        global_ipv6_address: text(endpoint.ipv6.map(|address| address.addr())),
        global_ipv6_prefix_len: endpoint.ipv6.map_or(0, |address| address.prefix_len()),
        // The default network resolves no names, and says null.
        dns_names: list(endpoint.dns_names.clone()),
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
        refused: port.refused,
        rules: port.rules.iter().map(port_rule).collect(),
    }
}

pub(crate) fn port_rule(rule: &PortRule) -> WireRule {
    WireRule {
        scope: rule.scope.to_string(),
        action: rule.action.to_string(),
        source: text(rule.source),
        hits: rule.hits,
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
    fn networks_of_a_swarm_and_mere_configurations_are_refused() {
        for request in [
            r#"{"Name":"x","Scope":"swarm"}"#,
            r#"{"Name":"x","Ingress":true}"#,
            r#"{"Name":"x","ConfigOnly":true}"#,
            r#"{"Name":"x","ConfigFrom":{"Network":"y"}}"#,
        ] {
            let error = config(serde_json::from_str(request).unwrap()).unwrap_err();
            assert_eq!(error.status, axum::http::StatusCode::NOT_IMPLEMENTED, "{request}");
        }
        let plain =
            r#"{"Name":"x","Driver":null,"IPAM":null,"Options":null,"Labels":null,"ConfigFrom":null}"#;
        assert_eq!(config(serde_json::from_str(plain).unwrap()).unwrap().name, "x");
    }

    #[test]
    fn an_endpoint_shows_what_was_asked_for_and_what_is() {
        let view = EndpointView {
            network: "web".into(),
            endpoint_id: "e".repeat(64),
            ipv6: Some("fd00::9/64".parse().unwrap()),
            gateway6: Some("fd00::1".parse().unwrap()),
            dns_names: vec!["box".into(), "db".into(), "0123456789ab".into()],
            config: EndpointConfig {
                ipv6_address: "fd00::9".into(),
                aliases: vec!["db".into()],
                gateway_priority: 2,
                ..EndpointConfig::default()
            },
            ..EndpointView::default()
        };
        let new = endpoint(&view, ApiVersion::MAX);
        assert_eq!((new.ip_address.as_str(), new.ip_prefix_len), ("", 0));
        assert_eq!((new.global_ipv6_address.as_str(), new.global_ipv6_prefix_len), ("fd00::9", 64));
        assert_eq!((new.ipv6_gateway.as_str(), new.gw_priority), ("fd00::1", Some(2)));
        assert_eq!(new.ipam_config.unwrap().ipv6_address, "fd00::9");
        assert_eq!(new.aliases.unwrap(), ["db"]);
        // Before 1.45 the other names were aliases, too.
        let old = endpoint(&view, ApiVersion::new(1, 44));
        assert_eq!(
            (old.aliases.unwrap(), old.gw_priority),
            (vec!["db".to_owned(), "0123456789ab".to_owned()], None)
        );
    }

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
