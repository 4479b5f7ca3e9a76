//! Whose network a container has.

use std::collections::BTreeMap;

use crate::container::config::{ContainerConfig, HostConfig};
use crate::error::Error;
use crate::network::{DEFAULT, EndpointConfig, Networks, check_endpoint};

/// Whose network a container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetworkMode<'a> {
    /// The host's.
    Host,
    /// Its own, with the loopback alone.
    None,
    /// Another container's, by name or id.
    Container(&'a str),
    /// Its own, on networks; this is the first of them.
    Networks(&'a str),
}

impl HostConfig {
    /// The network mode.
    pub(crate) fn mode(&self) -> NetworkMode<'_> {
        match self.network_mode.as_str() {
            "host" => NetworkMode::Host,
            "none" => NetworkMode::None,
            "" | "default" => NetworkMode::Networks(DEFAULT),
            mode => match mode.strip_prefix("container:") {
                Some(container) => NetworkMode::Container(container),
                None => NetworkMode::Networks(mode),
            },
        }
    }
}

/// Refuses what another container's or the host's network cannot have. The texts are Docker's.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn check_mode(config: &ContainerConfig) -> Result<(), Error> {
    let host = &config.host;
    let conflicts: &[(bool, &str)] = match host.mode() {
        NetworkMode::Container("") => &[(true, "invalid container format container:<name|id>")],
        NetworkMode::Container(_) => &[
            (!config.hostname.is_empty(), "conflicting options: hostname and the network mode"),
            (
                !host.links.is_empty(),
                "conflicting options: container type network can't be used with links. This would result in \
                 undefined behavior",
            ),
            (!host.dns.is_empty(), "conflicting options: dns and the network mode"),
            (
                !host.extra_hosts.is_empty(),
                "conflicting options: custom host-to-IP mapping and the network mode",
            ),
            (!config.mac_address.is_empty(), "conflicting options: mac-address and the network mode"),
            (
                !host.port_bindings.is_empty() || host.publish_all_ports,
                "conflicting options: port publishing and the container type network mode",
            ),
            (
                !config.exposed_ports.is_empty(),
                "conflicting options: port exposing and the container type network mode",
            ),
        ],
        NetworkMode::Host => &[
            (
                !host.links.is_empty(),
                "conflicting options: host type networking can't be used with links. This would result in \
                 undefined behavior",
            ),
            (!config.mac_address.is_empty(), "conflicting options: mac-address and the network mode"),
        ],
        NetworkMode::None => {
            &[(!config.mac_address.is_empty(), "conflicting options: mac-address and the network mode")]
        }
        NetworkMode::Networks(_) => &[],
    };
    match conflicts.iter().find(|(given, _)| *given) {
        Some((_, text)) => Err(Error::Invalid((*text).to_owned())),
        None => Ok(()),
    }
}

/// The networks a new container is to be on, by name, checked: those of the request, and that of the mode, which is
/// written into `config` by its name. One that does not exist is told at the start, as Docker does: its client takes an
/// unknown object here for the image.
///
/// # Errors
/// The mode has no networks and some are asked for, or a wish cannot be had.
pub(crate) fn settle(
    networks: &Networks,
    config: &mut ContainerConfig,
    requested: BTreeMap<String, EndpointConfig>,
) -> Result<BTreeMap<String, EndpointConfig>, Error> {
    let name_of = |reference: &str| match networks.find(reference) {
        Ok(network) => network.name().to_owned(),
        Err(_) => reference.to_owned(),
    };
    let mut wanted: BTreeMap<String, EndpointConfig> = requested
        .into_iter()
        .map(|(reference, endpoint)| {
            (if reference == "default" { DEFAULT.to_owned() } else { name_of(&reference) }, endpoint)
        })
        .collect();
    if matches!(config.host.network_mode.as_str(), "" | "default")
        && let Some(first) = wanted.keys().next().filter(|_| !wanted.contains_key(DEFAULT))
    {
        config.host.network_mode.clone_from(first);
    }
    if config.network_disabled {
        return Ok(BTreeMap::new());
    }
    let NetworkMode::Networks(mode) = config.host.mode() else {
        wanted.remove(&config.host.network_mode);
        let text = match config.host.mode() {
            _ if wanted.is_empty() => return Ok(wanted),
            NetworkMode::None => NO_NETWORK,
            _ => SHARED,
        };
        return Err(Error::Invalid(text.into()));
    };
    let mode = name_of(mode);
    if config.host.network_mode != "default" && !config.host.network_mode.is_empty() {
        config.host.network_mode.clone_from(&mode);
    }
    // Links of the default network are lines of /etc/hosts; elsewhere they are names, as aliases are.
    let links = if mode == DEFAULT { Vec::new() } else { std::mem::take(&mut config.host.links) };
    let main = wanted.entry(mode).or_default();
    main.links.extend(links);
    if main.mac_address.is_empty() {
        main.mac_address.clone_from(&config.mac_address);
    } else if !config.mac_address.is_empty() && main.mac_address != config.mac_address {
        return Err(Error::Invalid(
            "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be \
             left empty"
                .into(),
        ));
    }
    for (name, endpoint) in &wanted {
        match name.as_str() {
            "host" => return Err(Error::Invalid(HOST.into())),
            "none" => return Err(Error::Invalid(NO_NETWORK.into())),
            _ => check_endpoint(networks.find(name).ok().as_deref(), name, endpoint)?,
        }
    }
    Ok(wanted)
}

/// Docker's words for what cannot be together.
pub(crate) const SHARED: &str = "container sharing network namespace with another container or host cannot be connected to any other network";
pub(crate) const HOST: &str =
    "container cannot be disconnected from host network or connected to host network";
pub(crate) const NO_NETWORK: &str =
    "container cannot be connected to multiple networks with one of the networks in private (none) mode";

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn networks() -> Networks {
        Networks::new(Vec::new(), "engine", tokio::sync::mpsc::channel(1).0)
    }

    fn config(mode: &str) -> ContainerConfig {
        let host = HostConfig { network_mode: mode.into(), ..HostConfig::default() };
        ContainerConfig { host, ..ContainerConfig::default() }
    }

    fn settled(mode: &str, requested: &[&str]) -> Result<(String, Vec<String>), String> {
        let mut config = config(mode);
        let requested = requested.iter().map(|name| ((*name).to_owned(), EndpointConfig::default()));
        let wanted =
            settle(&networks(), &mut config, requested.collect()).map_err(|error| error.to_string())?;
        Ok((config.host.network_mode, wanted.into_keys().collect()))
    }

    #[rstest]
    #[case("", &[], "", &["bridge"])]
    #[case("default", &["default"], "default", &["bridge"])]
    #[case("default", &["web"], "web", &["web"])]
    #[case("web", &["store"], "web", &["store", "web"])]
    #[case("none", &["none"], "none", &[])]
    #[case("container:x", &["container:x"], "container:x", &[])]
    fn the_modes_network_is_one_of_them(
        #[case] mode: &str,
        #[case] requested: &[&str],
        #[case] settled_mode: &str,
        #[case] wanted: &[&str],
    ) {
        let wanted = wanted.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(settled(mode, requested), Ok((settled_mode.to_owned(), wanted)));
    }

    #[rstest]
    #[case("host", &["web"], SHARED)]
    #[case("container:x", &["web"], SHARED)]
    #[case("none", &["web"], NO_NETWORK)]
    #[case("web", &["none"], NO_NETWORK)]
    #[case("web", &["host"], HOST)]
    fn networks_without_a_device_stand_alone(
        #[case] mode: &str,
        #[case] requested: &[&str],
        #[case] message: &str,
    ) {
        assert_eq!(settled(mode, requested), Err(message.to_owned()));
    }

    #[test]
    fn one_hardware_address_is_for_the_modes_network() {
        let mut config = config("web");
        config.mac_address = "02:00:00:00:00:07".into();
        let wanted = settle(&networks(), &mut config, BTreeMap::new()).unwrap();
        assert_eq!(wanted["web"].mac_address, "02:00:00:00:00:07");
        let other = EndpointConfig { mac_address: "02:00:00:00:00:08".into(), ..EndpointConfig::default() };
        assert!(settle(&networks(), &mut config, [("web".to_owned(), other)].into()).is_err());
    }

    #[test]
    fn what_another_containers_network_cannot_have_is_refused() {
        let mut config = config("container:db");
        check_mode(&config).unwrap();
        config.exposed_ports.insert("80/tcp".into());
        assert!(check_mode(&config).unwrap_err().to_string().contains("port exposing"));
        config.host.publish_all_ports = true;
        assert!(check_mode(&config).unwrap_err().to_string().contains("port publishing"));
    }
}
