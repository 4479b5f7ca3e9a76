//! Published ports: Docker's maps in, intervals out.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::container::config::ContainerConfig;
use crate::container::policy::Policy;
use crate::container::view::PortMapping;
use crate::error::Error;
use crate::protocol::Protocol;

/// A port or a range of one protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PortRange {
    pub(crate) protocol: Protocol,
    pub(crate) first: u16,
    pub(crate) last: u16,
}

impl PortRange {
    /// Reads `80`, `80/udp`, `8000-8010/tcp`.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = protocol.parse()?;
        let (first, last) =
            parse_range(range).ok_or_else(|| Error::Invalid(format!("invalid port: {text:?}")))?;
        if first == 0 {
            return Err(Error::Invalid(format!("invalid port: {text:?}: 1 to 65535 are ports")));
        }
        Ok(Self { protocol, first, last })
    }
}

/// Host ports wanted for an interval of container ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostPorts {
    /// These, one for each container port.
    Fixed { first: u16, last: u16 },
    /// One free port of these, for a single container port.
    OneOf { first: u16, last: u16 },
    /// Any free port, for a single container port.
    Any,
}

/// One publish as the user wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PublishRequest {
    pub(crate) protocol: Protocol,
    /// The host's address; none is every one of the families that the container has.
    pub(crate) host_ip: Option<IpAddr>,
    pub(crate) host: HostPorts,
    pub(crate) container_first: u16,
}

/// Where a container's ports lead, by family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Targets {
    pub(crate) ipv4: Option<Ipv4Addr>,
    pub(crate) ipv6: Option<Ipv6Addr>,
    /// The host's address when a request names none: the network's wish.
    pub(crate) binding: Option<IpAddr>,
}

impl Targets {
    pub(crate) fn is_empty(self) -> bool {
        self.ipv4.is_none() && self.ipv6.is_none()
    }

    /// The target of an address' family.
    pub(crate) fn of(self, address: IpAddr) -> Option<IpAddr> {
        if address.is_ipv4() { self.ipv4.map(IpAddr::from) } else { self.ipv6.map(IpAddr::from) }
    }

    /// Those that are left without the families.
    pub(crate) fn without(self, ipv4: bool, ipv6: bool) -> Self {
        Self { ipv4: self.ipv4.filter(|_| !ipv4), ipv6: self.ipv6.filter(|_| !ipv6), ..self }
    }

    /// The host's and the container's addresses for a request.
    ///
    /// # Errors
    /// The host's address is of a family that the container does not have.
    pub(crate) fn pairs(self, host_ip: Option<IpAddr>) -> Result<Vec<(IpAddr, IpAddr)>, String> {
        match host_ip.or(self.binding) {
            None => {
                let ipv4 = self.ipv4.map(|target| (Ipv4Addr::UNSPECIFIED.into(), target.into()));
                let ipv6 = self.ipv6.map(|target| (Ipv6Addr::UNSPECIFIED.into(), target.into()));
                Ok(ipv4.into_iter().chain(ipv6).collect())
            }
            Some(host) => match self.of(host) {
                Some(target) => Ok(vec![(host, target)]),
                None => Err(format!(
                    "cannot publish on {host}: the container has no {family} address; publish on an {other} address, or \
                     use a network with {family}",
                    family = if host.is_ipv4() { "IPv4" } else { "IPv6" },
                    other = if host.is_ipv4() { "IPv6" } else { "IPv4" },
                )),
            },
        }
    }
}

/// One publish as it is: an interval of host ports and where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Published {
    pub(crate) protocol: Protocol,
    pub(crate) host_ip: IpAddr,
    pub(crate) host_first: u16,
    pub(crate) host_last: u16,
    pub(crate) container_ip: IpAddr,
    pub(crate) container_first: u16,
}

/// What `config` wants to be published, adjoining ports with the same rules joined to intervals.
///
/// # Errors
/// A port, a range, an address or a label of ours is malformed.
pub(crate) fn requests(config: &ContainerConfig, default_ip: IpAddr) -> Result<Vec<PublishRequest>, Error> {
    let default_ip = Some(default_ip).filter(|address| !address.is_unspecified());
    let policy = Policy::of(&config.labels)?;
    let mut requests = Vec::new();
    let mut bound = BTreeSet::new();
    for (port, bindings) in &config.host.port_bindings {
        let container = PortRange::parse(port)?;
        for binding in bindings {
            bound.insert((container.protocol, container.first));
            let host_ip = parse_host_ip(&binding.host_ip, default_ip)?;
            let host = host_ports(container, &binding.host_port)?;
            let (protocol, container_first) = (container.protocol, container.first);
            let request = PublishRequest { protocol, host_ip, host, container_first };
            requests.extend(split(request, &policy));
        }
    }
    if config.host.publish_all_ports {
        for port in exposed(config)? {
            if !bound.contains(&port) {
                let (protocol, container_first) = port;
                let host = HostPorts::Any;
                requests.push(PublishRequest { protocol, host_ip: default_ip, host, container_first });
            }
        }
    }
    Ok(join(requests, &policy))
}

/// Every exposed port.
///
/// # Errors
/// One is malformed.
pub(crate) fn exposed(config: &ContainerConfig) -> Result<BTreeSet<(Protocol, u16)>, Error> {
    let mut ports = BTreeSet::new();
    for port in &config.exposed_ports {
        let range = PortRange::parse(port)?;
        ports.extend((range.first..=range.last).map(|port| (range.protocol, port)));
    }
    Ok(ports)
}

/// Ports as listings show them: the published ones, and the exposed ones that are not.
pub(crate) fn mappings(config: &ContainerConfig, published: &[Published]) -> Vec<PortMapping> {
    let mut mappings = Vec::new();
    let mut seen = BTreeSet::new();
    for publish in published {
        for (offset, host_port) in (publish.host_first..=publish.host_last).enumerate() {
            let container_port = publish.container_first.saturating_add(u16::try_from(offset).unwrap_or(0));
            seen.insert((publish.protocol, container_port));
            let host = Some((publish.host_ip, host_port));
            mappings.push(PortMapping { container_port, protocol: publish.protocol, host });
        }
    }
    // A configuration that was accepted has readable ports.
    for (protocol, container_port) in exposed(config).unwrap_or_default() {
        if !seen.contains(&(protocol, container_port)) {
            mappings.push(PortMapping { container_port, protocol, host: None });
        }
    }
    mappings.sort_by_key(|mapping| (mapping.container_port, mapping.protocol, mapping.host));
    mappings
}

/// Cuts an interval where other rules begin.
fn split(request: PublishRequest, policy: &Policy) -> Vec<PublishRequest> {
    let HostPorts::Fixed { first, last } = request.host else { return vec![request] };
    let container_last = request.container_first.saturating_add(last - first);
    let inner = policy.boundaries(request.protocol);
    let inner = inner.into_iter().filter(|port| (request.container_first..=container_last).contains(port));
    let inner = inner.filter(|port| *port != request.container_first);
    let starts: Vec<u16> = std::iter::once(request.container_first).chain(inner).collect();
    let ends = starts.iter().skip(1).map(|start| start - 1).chain([container_last]);
    let part = |(start, end): (&u16, u16)| {
        let host = |port: u16| first + (port - request.container_first);
        let host = HostPorts::Fixed { first: host(*start), last: host(end) };
        PublishRequest { host, container_first: *start, ..request }
    };
    starts.iter().zip(ends).map(part).collect()
}

/// Joins publishes whose host and container ports both adjoin: clients send a range port by port.
fn join(mut requests: Vec<PublishRequest>, policy: &Policy) -> Vec<PublishRequest> {
    let rules = |request: &PublishRequest| policy.rules(request.protocol, request.container_first);
    let first = |request: &PublishRequest| match request.host {
        HostPorts::Fixed { first, .. } | HostPorts::OneOf { first, .. } => first,
        HostPorts::Any => 0,
    };
    requests
        .sort_by_key(|request| (request.protocol, request.host_ip, request.container_first, first(request)));
    let mut joined: Vec<PublishRequest> = Vec::new();
    for request in requests {
        let fits = |into: &&mut PublishRequest| {
            let (HostPorts::Fixed { first, last }, HostPorts::Fixed { first: next, .. }) =
                (into.host, request.host)
            else {
                return false;
            };
            let same = (into.protocol, into.host_ip) == (request.protocol, request.host_ip);
            let length = u32::from(last - first) + 1;
            same && rules(into) == rules(&request)
                && u32::from(last) + 1 == u32::from(next)
                && u32::from(into.container_first) + length == u32::from(request.container_first)
        };
        match (joined.iter_mut().rev().find(fits), request.host) {
            (Some(into), HostPorts::Fixed { last: new_last, .. }) => {
                if let HostPorts::Fixed { last, .. } = &mut into.host {
                    *last = new_last;
                }
            }
            _ => joined.push(request),
        }
    }
    joined
}

fn host_ports(container: PortRange, text: &str) -> Result<HostPorts, Error> {
    let single = container.first == container.last;
    if text.is_empty() || text == "0" {
        return if single {
            Ok(HostPorts::Any)
        } else {
            Err(Error::Invalid("a range of container ports needs a range of host ports".into()))
        };
    }
    let invalid = || Error::Invalid(format!("invalid port specification: {text:?}"));
    let (first, last) = parse_range(text).filter(|(first, _)| *first > 0).ok_or_else(invalid)?;
    if last - first == container.last - container.first {
        return Ok(HostPorts::Fixed { first, last });
    }
    if single { Ok(HostPorts::OneOf { first, last }) } else { Err(invalid()) }
}

fn parse_host_ip(text: &str, default_ip: Option<IpAddr>) -> Result<Option<IpAddr>, Error> {
    if text.is_empty() {
        return Ok(default_ip);
    }
    let address = text.trim_start_matches('[').trim_end_matches(']').parse();
    address.map(Some).map_err(|_| Error::Invalid(format!("invalid IP address: {text}")))
}

/// `8000` or `8000-8010`, in order.
fn parse_range(text: &str) -> Option<(u16, u16)> {
    let number =
        |text: &str| text.parse::<u16>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests;
