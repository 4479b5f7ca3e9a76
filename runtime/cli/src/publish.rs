//! `-p [[ADDRESS:]HOST-PORT[-LAST]:]PORT[-LAST][/PROTOCOL]`.

use std::net::IpAddr;
use std::str::FromStr;

use beeline_wire::container::host_config::{PortBinding, PortMap};
use beeline_wire::go::{Empty, Set};

/// A published port or range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    address: String,
    host: Option<Ports>,
    container: Ports,
    protocol: String,
}

/// An inclusive interval of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    fn len(self) -> u32 {
        u32::from(self.last - self.first) + 1
    }
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(format!("{text:?} is not a port between 1 and 65535")),
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(format!("the range {text} ends before it begins"));
        }
        Ok(Self { first, last })
    }
}

impl FromStr for Publish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        if !["tcp", "udp", "sctp"].contains(&protocol) {
            return Err(format!("{protocol:?} is not a protocol: use tcp, udp or sctp"));
        }
        let (rest, container) = ports.rsplit_once(':').unwrap_or(("", ports));
        let (address, host) = rest.rsplit_once(':').unwrap_or(("", rest));
        let address = address.trim_start_matches('[').trim_end_matches(']');
        if !address.is_empty() && address.parse::<IpAddr>().is_err() {
            return Err(format!("{address:?} is not an address of the host"));
        }
        let container: Ports = container.parse()?;
        let host: Option<Ports> = if host.is_empty() { None } else { Some(host.parse()?) };
        // One container port may be published on any free port of a host range; equal ranges map one to one.
        if let Some(host) = host.filter(|host| host.len() != container.len() && container.len() != 1) {
            return Err(format!(
                "{} host ports cannot lead to {} container ports",
                host.len(),
                container.len()
            ));
        }
        Ok(Self { address: address.to_owned(), host, container, protocol: protocol.to_owned() })
    }
}

/// What the API takes of all `-p` together: exposed ports and bindings, one of each for every port.
pub(crate) fn bindings(publishes: &[Publish]) -> (Set, PortMap) {
    let (mut exposed, mut map) = (Set::new(), PortMap::new());
    for publish in publishes {
        for offset in 0..publish.container.last - publish.container.first + 1 {
            let key = format!("{}/{}", publish.container.first + offset, publish.protocol);
            let host_port = match publish.host {
                None => String::new(),
                Some(host) if host.len() == publish.container.len() => (host.first + offset).to_string(),
                Some(host) => format!("{}-{}", host.first, host.last),
            };
            exposed.insert(key.clone(), Empty {});
            let binding = PortBinding { host_ip: publish.address.clone(), host_port };
            map.entry(key).or_default().get_or_insert_default().push(binding);
        }
    }
    (exposed, map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(text: &str, key: &str) -> (String, String) {
        let (_, map) = bindings(&[text.parse().unwrap()]);
        let binding = &map[key].as_ref().unwrap()[0];
        (binding.host_ip.clone(), binding.host_port.clone())
    }

    #[test]
    fn every_form_of_a_publish_is_understood() {
        let pair = |ip: &str, port: &str| (ip.to_owned(), port.to_owned());
        assert_eq!(binding("80", "80/tcp"), pair("", ""));
        assert_eq!(binding("8080:80", "80/tcp"), pair("", "8080"));
        assert_eq!(binding("127.0.0.1:8080:80/udp", "80/udp"), pair("127.0.0.1", "8080"));
        assert_eq!(binding("127.0.0.1::80", "80/tcp"), pair("127.0.0.1", ""));
        assert_eq!(binding("[::1]:8080:80", "80/tcp"), pair("::1", "8080"));
        assert_eq!(binding("9000-9002:80-82", "81/tcp"), pair("", "9001"));
        assert_eq!(binding("9000-9010:80", "80/tcp"), pair("", "9000-9010"));
    }

    #[test]
    fn a_wrong_publish_names_what_is_wrong() {
        for (text, word) in [
            ("99999:80", "99999"),
            ("0:80", "\"0\""),
            ("80/icmp", "icmp"),
            ("10-5:10-5", "10-5"),
            ("a:80", "\"a\""),
            ("1-3:1-2", "3 host ports"),
            ("300.1.1.1:80:80", "300.1.1.1"),
            ("", "port"),
        ] {
            let error = text.parse::<Publish>().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
