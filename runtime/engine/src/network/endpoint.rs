//! A container's place on a network: whether its wishes can be had, and how it is shown.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::config::{EndpointConfig, IFNAME, parse_mac};
use super::{Network, derive, ipam};
use crate::container::view::EndpointView;
use crate::error::Error;
use crate::identity::ContainerId;

/// Options that would make another container than the one that was asked for.
const REFUSED_OPTIONS: [&str; 1] = ["com.docker.network.endpoint.sysctls"];

/// Checks a container's wishes on the network `name`, which may not exist yet.
///
/// # Errors
/// [`Error::Invalid`] with everything that is wrong, in Docker's words; [`Error::NotImplemented`].
pub(crate) fn check_endpoint(
    network: Option<&Network>,
    name: &str,
    config: &EndpointConfig,
) -> Result<(), Error> {
    if !config.link_local_addresses.is_empty() {
        return Err(Error::NotImplemented("link-local addresses cannot be chosen for a container".into()));
    }
    if let Some(option) = REFUSED_OPTIONS.iter().find(|option| config.driver_options.contains_key(**option)) {
        return Err(Error::NotImplemented(format!("the option {option} of an endpoint is not supported")));
    }
    let mut errors = Vec::new();
    let is_builtin = network.map_or_else(|| super::is_builtin(name), Network::is_builtin);
    let wants_address = !config.ipv4_address.is_empty() || !config.ipv6_address.is_empty();
    if is_builtin && wants_address {
        errors.push("user specified IP address is supported on user defined networks only".to_owned());
    }
    if is_builtin && !config.aliases.is_empty() {
        errors.push(
            "network-scoped alias is supported only for containers in user defined networks".to_owned(),
        );
    }
    if !config.ipv4_address.is_empty() && config.ipv4_address.parse::<Ipv4Addr>().is_err() {
        errors.push(format!("invalid IPv4 address: {}", config.ipv4_address));
    }
    if !config.ipv6_address.is_empty() && config.ipv6_address.parse::<Ipv6Addr>().is_err() {
        errors.push(format!("invalid IPv6 address: {}", config.ipv6_address));
    }
    if !config.mac_address.is_empty() && !is_usable_mac(&config.mac_address) {
        errors.push(format!("invalid MAC address: {}", config.mac_address));
    }
    if config.interface().is_some_and(|name| !is_interface_name(name)) {
        errors.push(format!("invalid value of {IFNAME}: an interface's name has 1 to 15 characters"));
    }
    if errors.is_empty() && !is_builtin {
        errors.extend(network.and_then(|network| outside(network, config)));
    }
    match errors.as_slice() {
        [] => Ok(()),
        [error] => Err(Error::Invalid(format!("invalid endpoint settings:\n{error}"))),
        several => Err(Error::Invalid(format!("invalid endpoint settings:\n* {}", several.join("\n* ")))),
    }
}

/// Not a group's address, nor none.
fn is_usable_mac(text: &str) -> bool {
    parse_mac(text).is_some_and(|mac| mac[0] & 1 == 0 && mac != [0; 6])
}

fn is_interface_name(name: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':');
    (1..=15).contains(&name.len()) && name.bytes().all(valid) && !matches!(name, "lo" | "." | "..")
}

/// Why an address cannot be one of the network: it has no such subnet, or none that its user chose.
fn outside(network: &Network, config: &EndpointConfig) -> Option<String> {
    let wanted = ipam::parse(&network.config).ok()?;
    let subnet = |wanted: Option<ipam::Wanted>| wanted.and_then(|wanted| wanted.subnet);
    let (ipv4, ipv6) = (subnet(wanted.ipv4), subnet(wanted.ipv6));
    let addresses: [(Option<IpAddr>, Option<IpNet>); 2] =
        [(config.ipv4().map(IpAddr::from), ipv4), (config.ipv6().map(IpAddr::from), ipv6)];
    addresses.into_iter().find_map(|(address, subnet)| match (address?, subnet) {
        (address, Some(subnet)) if subnet.contains(&address) => None,
        (address, Some(_)) => {
            Some(format!("no configured subnet or ip-range contain the IP address {address}"))
        }
        (_, None) => Some(
            "user specified IP address is supported only when connecting to networks with user configured \
             subnets"
                .to_owned(),
        ),
    })
}

/// A container's connection to the network, as listings show it.
pub(crate) fn endpoint_view(
    network: &Network,
    container: &ContainerId,
    config: &EndpointConfig,
    dns_names: Vec<String>,
    endpoint: Option<&beeline_net::Endpoint>,
) -> EndpointView {
    let mut view = EndpointView {
        network: network.name().to_owned(),
        network_id: network.id.clone(),
        dns_names: if network.is_builtin() { Vec::new() } else { dns_names },
        config: config.clone(),
        ..EndpointView::default()
    };
    let Some(endpoint) = endpoint else { return view };
    view.endpoint_id = derive(&[&network.id, "endpoint", container.as_str()]);
    view.ipv4 = endpoint.ipv4.and_then(|address| Ipv4Net::new(address.ip, address.prefix_len).ok());
    view.ipv6 = endpoint.ipv6.and_then(|address| Ipv6Net::new(address.ip, address.prefix_len).ok());
    if !network.config.internal {
        view.gateway4 = endpoint.ipv4.map(|address| address.gateway);
        view.gateway6 = endpoint.ipv6.map(|address| address.gateway);
    }
    view.mac = endpoint.mac.map(|byte| format!("{byte:02x}")).join(":");
    view.interface.clone_from(&endpoint.ifname);
    view.host_interface.clone_from(&endpoint.host_ifname);
    view
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::network::{IpamConfig, Kind, NetworkConfig, PoolConfig};

    fn network(name: &str, subnet: Option<&str>) -> Network {
        let pool = |subnet: &str| PoolConfig { subnet: subnet.to_owned(), ..PoolConfig::default() };
        let ipam = IpamConfig { pools: subnet.map(pool).into_iter().collect(), ..IpamConfig::default() };
        let config = NetworkConfig { name: name.into(), ipam, ..NetworkConfig::default() };
        Network { id: "a".repeat(64), created: jiff::Timestamp::UNIX_EPOCH, config, kind: Kind::Null }
    }

    fn address(text: &str) -> EndpointConfig {
        EndpointConfig { ipv4_address: text.into(), ..EndpointConfig::default() }
    }

    #[rstest]
    #[case("web", Some("10.9.0.0/24"), "10.9.0.7", None)]
    #[case(
        "web",
        Some("10.9.0.0/24"),
        "10.8.0.7",
        Some("no configured subnet or ip-range contain the IP address 10.8.0.7")
    )]
    #[case("web", Some("10.9.0.0/24"), "ten", Some("invalid IPv4 address: ten"))]
    #[case(
        "web",
        None,
        "10.9.0.7",
        Some(
            "user specified IP address is supported only when connecting to networks with user configured subnets"
        )
    )]
    #[case(
        "bridge",
        None,
        "10.9.0.7",
        Some("user specified IP address is supported on user defined networks only")
    )]
    fn a_fixed_address_has_to_be_of_a_subnet_that_a_user_chose(
        #[case] name: &str,
        #[case] subnet: Option<&str>,
        #[case] wanted: &str,
        #[case] message: Option<&str>,
    ) {
        let checked = check_endpoint(Some(&network(name, subnet)), name, &address(wanted));
        let expected = message.map(|message| format!("invalid endpoint settings:\n{message}"));
        assert_eq!(checked.err().map(|error| error.to_string()), expected);
    }

    #[test]
    fn what_is_wrong_without_the_network_is_told_without_it() {
        let config = EndpointConfig {
            mac_address: "01:00:5e:00:00:01".into(),
            aliases: vec!["db".into()],
            ..EndpointConfig::default()
        };
        let error = check_endpoint(None, "bridge", &config).unwrap_err().to_string();
        assert!(
            error.contains("* network-scoped alias") && error.contains("* invalid MAC address"),
            "{error}"
        );
        let named = |name: &str| EndpointConfig {
            driver_options: [(IFNAME.to_owned(), name.to_owned())].into(),
            ..EndpointConfig::default()
        };
        assert!(check_endpoint(None, "web", &named("front0")).is_ok());
        assert!(check_endpoint(None, "web", &named("lo")).is_err());
        check_endpoint(None, "web", &address("10.0.0.1")).unwrap();
    }
}
