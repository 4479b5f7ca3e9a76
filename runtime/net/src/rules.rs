//! Who may come: lists of sources, and what they say of an address.
//!
//! Of one pair of lists the longest prefix that holds the source decides, so an exception may lie within a rule; where
//! both lists have the same prefix, the source is denied. When there is a list of allowed sources, what no rule names
//! is refused. A publish asks its own rules, then its network's, then the daemon's, and each has to let the source
//! through.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use beeline_abi::{Address, PolicyKey, action};
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

/// What a rule does with its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// They are let through.
    Allow,
    /// They are refused.
    Deny,
}

/// Whose rule it is; the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// A publish's own.
    Publish,
    /// Its network's.
    Network,
    /// The daemon's, for everything it publishes.
    Daemon,
}

/// A text that names no sources.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither an address nor a subnet such as 192.0.2.0/24 or 2001:db8::/32")]
pub struct InvalidSource {
    text: String,
}

/// Allowed and denied sources. Without any rule everybody may come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    rules: BTreeMap<IpNet, Action>,
}

impl Rules {
    /// Rules of two lists; what is in both is denied.
    pub fn new(allow: impl IntoIterator<Item = IpNet>, deny: impl IntoIterator<Item = IpNet>) -> Self {
        let allow = allow.into_iter().map(|source| (canonical(source), Action::Allow));
        let deny = deny.into_iter().map(|source| (canonical(source), Action::Deny));
        Self { rules: allow.chain(deny).collect() }
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// The rules by their sources.
    pub fn iter(&self) -> impl Iterator<Item = (IpNet, Action)> {
        self.rules.iter().map(|(source, action)| (*source, *action))
    }

    /// What becomes of sources that no rule names: one of [`beeline_abi::action`].
    pub(crate) fn of_others(&self) -> u32 {
        let has_allowed = self.rules.values().any(|action| *action == Action::Allow);
        if has_allowed { action::UNLISTED } else { action::OTHERS }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish",
            Self::Network => "network",
            Self::Daemon => "daemon",
        })
    }
}

/// Reads an address or a subnet.
///
/// # Errors
/// It is neither.
pub fn parse_source(text: &str) -> Result<IpNet, InvalidSource> {
    let text = text.trim();
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(address).map(canonical).ok_or_else(|| InvalidSource { text: text.to_owned() })
}

/// Reads sources separated by commas; none is fine.
///
/// # Errors
/// One is neither an address nor a subnet.
pub fn parse_sources(text: &str) -> Result<Vec<IpNet>, InvalidSource> {
    text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(parse_source).collect()
}

/// Without bits beyond the prefix, and IPv4 in its own form.
fn canonical(source: IpNet) -> IpNet {
    let source = source.trunc();
    let IpNet::V6(six) = source else { return source };
    let mapped = six.addr().to_ipv4_mapped().zip(six.prefix_len().checked_sub(96));
    mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok()).map_or(source, IpNet::V4)
}

/// The prefix of a source in a set's part of the table: its length in bits, and its key.
pub(crate) fn prefix(set: u32, source: IpNet) -> (u32, PolicyKey) {
    let before = match source {
        IpNet::V4(_) => PolicyKey::BITS_BEFORE_V4,
        IpNet::V6(_) => PolicyKey::BITS_BEFORE_V6,
    };
    (before + u32::from(source.prefix_len()), PolicyKey::new(set, Address::from(source.addr())))
}

/// The source of a prefix.
pub(crate) fn source(bits: u32, key: &PolicyKey) -> Option<IpNet> {
    let address = IpAddr::from(key.address);
    let before = if address.is_ipv4() { PolicyKey::BITS_BEFORE_V4 } else { PolicyKey::BITS_BEFORE_V6 };
    IpNet::new(address, u8::try_from(bits.checked_sub(before)?).ok()?).ok()
}

/// All of IPv4 and all of IPv6: a set has an entry for each.
pub(crate) fn everything() -> [IpNet; 2] {
    [IpNet::V4(Ipv4Net::default()), IpNet::V6(ipnet::Ipv6Net::default())]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_and_subnets_of_both_families_are_sources() {
        let sources =
            parse_sources("10.0.0.5/8, 192.0.2.7,2001:db8::1/32 ,::1, ::ffff:10.1.0.0/112").unwrap();
        let texts: Vec<String> = sources.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::1/128", "10.1.0.0/16"]);
        assert_eq!(parse_sources(" ").unwrap(), []);
        for text in ["10.0.0.0/33", "example.org", "10.0.0", "10.0.0.0/8;10.1.0.0/16"] {
            let error = parse_sources(text).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn what_is_in_both_lists_is_denied() {
        let source = parse_source("10.0.0.0/8").unwrap();
        let rules = Rules::new([source], [source]);
        assert_eq!(rules.iter().collect::<Vec<_>>(), [(source, Action::Deny)]);
        assert_eq!(rules.of_others(), action::OTHERS, "no list of allowed sources is left");
    }

    proptest! {
        #[test]
        fn a_prefix_leads_back_to_its_source(octets in any::<[u8; 16]>(), v4 in any::<bool>(), length in 0_u8..=128) {
            let source = if v4 {
                let address: [u8; 4] = std::array::from_fn(|at| octets[at]);
                IpNet::new(address.into(), length % 33).unwrap()
            } else {
                IpNet::new(octets.into(), length).unwrap()
            };
            let source_in = canonical(source);
            let (bits, key) = prefix(7, source_in);
            prop_assert_eq!(key.set, 7);
            prop_assert_eq!(super::source(bits, &key), Some(source_in));
        }
    }
}
