//! Labels that say who may reach a container's published ports.
//!
//! | label | is about |
//! |---|---|
//! | `beeline.publish.allow`, `beeline.publish.deny` | every published port |
//! | `beeline.publish.PORT.allow`, `beeline.publish.PORT.deny` | these ports of the container, in place of the former |
//!
//! `PORT` is written as for EXPOSE: `80`, `53/udp`, `8000-8010/tcp`. The value is a list of addresses and subnets.

use std::collections::{BTreeMap, BTreeSet};

use beeline_net::{Rules, parse_sources};

use crate::container::ports::PortRange;
use crate::error::Error;
use crate::protocol::Protocol;

const PREFIX: &str = "beeline.publish.";

/// Who may reach which of a container's ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    all: Rules,
    of_ports: Vec<(PortRange, Rules)>,
}

impl Policy {
    /// What the labels say.
    ///
    /// # Errors
    /// A label of ours that is unknown, or with something in it that is no source.
    pub(crate) fn of(labels: &BTreeMap<String, String>) -> Result<Self, Error> {
        // Of each target what is allowed and what is denied; the empty target is every port.
        let mut lists: BTreeMap<&str, [Vec<_>; 2]> = BTreeMap::new();
        for (label, value) in labels {
            let Some(name) = label.strip_prefix(PREFIX) else { continue };
            let (target, list) = name.rsplit_once('.').unwrap_or(("", name));
            let at = match list {
                "allow" => 0,
                "deny" => 1,
                _ => {
                    return Err(Error::Invalid(format!(
                        "unknown label {label:?}: use {PREFIX}allow, {PREFIX}deny, {PREFIX}80/tcp.allow or \
                         {PREFIX}80/tcp.deny"
                    )));
                }
            };
            let sources = parse_sources(value)
                .map_err(|error| Error::Invalid(format!("invalid label {label}={value}: {error}")))?;
            lists.entry(target).or_default()[at].extend(sources);
        }
        let mut policy = Self::default();
        for (target, [allow, deny]) in lists {
            let rules = Rules::new(allow, deny);
            if target.is_empty() {
                policy.all = rules;
            } else {
                let ports = PortRange::parse(target)
                    .map_err(|error| Error::Invalid(format!("invalid label {PREFIX}{target}.…: {error}")))?;
                policy.of_ports.push((ports, rules));
            }
        }
        Ok(policy)
    }

    /// What a network's labels and options say of the ports of all its members.
    ///
    /// # Errors
    /// As [`Self::of`]; or one is about a single port.
    pub(crate) fn of_network(
        labels: &BTreeMap<String, String>,
        options: &BTreeMap<String, String>,
    ) -> Result<Rules, Error> {
        let all = options.iter().chain(labels).map(|(key, value)| (key.clone(), value.clone())).collect();
        let Self { all, of_ports } = Self::of(&all)?;
        if of_ports.is_empty() {
            return Ok(all);
        }
        Err(Error::Invalid(format!(
            "a network has rules for all ports alone: use {PREFIX}allow and {PREFIX}deny"
        )))
    }

    /// The rules for a port of the container: of the narrowest range that has it.
    pub(crate) fn rules(&self, protocol: Protocol, port: u16) -> &Rules {
        let has =
            |ports: &PortRange| ports.protocol == protocol && (ports.first..=ports.last).contains(&port);
        let own = self.of_ports.iter().filter(|(ports, _)| has(ports));
        own.min_by_key(|(ports, _)| ports.last - ports.first).map_or(&self.all, |(_, rules)| rules)
    }

    /// The container's ports at which other rules may begin.
    pub(crate) fn boundaries(&self, protocol: Protocol) -> BTreeSet<u16> {
        let own = self.of_ports.iter().filter(|(ports, _)| ports.protocol == protocol);
        own.flat_map(|(ports, _)| [Some(ports.first), ports.last.checked_add(1)]).flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(labels: &[(&str, &str)]) -> Result<Policy, Error> {
        Policy::of(&labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    fn rules(allow: &str, deny: &str) -> Rules {
        Rules::new(parse_sources(allow).unwrap(), parse_sources(deny).unwrap())
    }

    #[test]
    fn a_ports_own_labels_take_the_place_of_the_general_ones() {
        let policy = policy(&[
            ("beeline.publish.allow", "192.0.2.0/24, 2001:db8::/32"),
            ("beeline.publish.deny", "192.0.2.9"),
            ("beeline.publish.53/udp.deny", "10.0.0.0/8"),
            ("beeline.publish.8000-8010.allow", "10.0.0.0/8"),
            ("beeline.publish.8005.allow", ""),
            ("com.example.publish.allow", "nonsense"),
        ])
        .unwrap();
        let general = rules("192.0.2.0/24,2001:db8::/32", "192.0.2.9");
        assert_eq!(*policy.rules(Protocol::Tcp, 80), general);
        assert_eq!(*policy.rules(Protocol::Tcp, 53), general, "a port without a protocol is one of TCP");
        assert_eq!(*policy.rules(Protocol::Udp, 53), rules("", "10.0.0.0/8"));
        assert_eq!(*policy.rules(Protocol::Tcp, 8010), rules("10.0.0.0/8", ""));
        assert!(policy.rules(Protocol::Tcp, 8005).is_empty(), "the narrowest range decides");
        assert_eq!(Vec::from_iter(policy.boundaries(Protocol::Tcp)), [8000, 8005, 8006, 8011]);
    }

    #[test]
    fn a_label_that_cannot_be_understood_is_named() {
        for (label, value, part) in [
            ("beeline.publish.allow", "10.0.0.0/33", "\"10.0.0.0/33\" is neither an address nor a subnet"),
            ("beeline.publish.80/tcp.deny", "x", "beeline.publish.80/tcp.deny=x"),
            ("beeline.publish.80/tcp.alow", "10.0.0.0/8", "unknown label \"beeline.publish.80/tcp.alow\""),
            ("beeline.publish.http.allow", "10.0.0.0/8", "invalid port: \"http\""),
        ] {
            let error = policy(&[(label, value)]).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_networks_rules_come_from_its_labels_and_options_and_are_for_all_ports() {
        let map = |label: &str, value: &str| BTreeMap::from([(label.to_owned(), value.to_owned())]);
        let options = map("beeline.publish.allow", "192.0.2.0/24");
        let labels = map("beeline.publish.deny", "192.0.2.9");
        assert_eq!(Policy::of_network(&labels, &options).unwrap(), rules("192.0.2.0/24", "192.0.2.9"));
        let error = Policy::of_network(&map("beeline.publish.80.deny", ""), &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("for all ports alone"), "{error}");
    }
}
