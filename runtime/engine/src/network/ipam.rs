//! What a user asks for of a network's addresses, checked with Docker's words.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::config::{NetworkConfig, PoolConfig};
use crate::error::Error;

/// The addresses of one family, as far as they are given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) subnet: Option<IpNet>,
    /// What is chosen from.
    pub(super) range: Option<IpNet>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) auxiliary: BTreeMap<String, IpAddr>,
}

/// The addresses of the families a network shall have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WantedAddresses {
    pub(super) ipv4: Option<Wanted>,
    pub(super) ipv6: Option<Wanted>,
}

/// Reads what is asked for.
///
/// # Errors
/// [`Error::Invalid`] with everything that is wrong.
pub(super) fn parse(config: &NetworkConfig) -> Result<WantedAddresses, Error> {
    let mut addresses = WantedAddresses {
        ipv4: config.enable_ipv4.unwrap_or(true).then(Wanted::default),
        ipv6: config.enable_ipv6.then(Wanted::default),
    };
    if addresses == WantedAddresses::default() {
        return Err(Error::Invalid("IPv4 or IPv6 must be enabled".into()));
    }
    if !matches!(config.ipam.driver.as_str(), "" | "default") {
        return Err(Error::NotImplemented(format!(
            "the IPAM driver {:?} is not supported, only default is",
            config.ipam.driver
        )));
    }
    let mut errors = Vec::new();
    for pool in config.ipam.pools.iter().filter(|pool| **pool != PoolConfig::default()) {
        let Some(wanted) = parse_pool(pool, &mut errors) else { continue };
        let Some(subnet) = wanted.subnet else { continue };
        let (family, version) =
            if subnet.addr().is_ipv4() { (&mut addresses.ipv4, 4) } else { (&mut addresses.ipv6, 6) };
        match family {
            None => {
                errors.push(format!("invalid subnet {subnet}: IPv{version} is not enabled for the network"));
            }
            Some(one) if one.subnet.is_some() => {
                errors
                    .push(format!("invalid subnet {subnet}: a network has one subnet of IPv{version} only"));
            }
            Some(one) => *one = wanted,
        }
    }
    match errors.as_slice() {
        [] => Ok(addresses),
        [error] => Err(Error::Invalid(format!("invalid network config:\n{error}"))),
        several => Err(Error::Invalid(format!("invalid network config:\n* {}", several.join("\n* ")))),
    }
}

fn parse_pool(pool: &PoolConfig, errors: &mut Vec<String>) -> Option<Wanted> {
    let Some(subnet) = prefix(&pool.subnet) else {
        errors.push(format!("invalid subnet {}: invalid CIDR block notation", pool.subnet));
        return None;
    };
    if subnet != subnet.trunc() {
        errors.push(format!("invalid subnet {subnet}: it should be {}", subnet.trunc()));
    }
    let mut wanted = Wanted { subnet: Some(subnet), ..Wanted::default() };
    if !pool.ip_range.is_empty() {
        match parse_range(&pool.ip_range, subnet) {
            Ok(range) => wanted.range = Some(range),
            Err(reason) => errors.push(format!("invalid ip-range {}: {reason}", pool.ip_range)),
        }
    }
    if !pool.gateway.is_empty() {
        match parse_address(&pool.gateway, subnet) {
            Ok(gateway) => wanted.gateway = Some(gateway),
            Err(reason) => errors.push(format!("invalid gateway {}: {reason}", pool.gateway)),
        }
    }
    for (name, text) in &pool.auxiliary {
        match parse_address(text, subnet) {
            Ok(address) => drop(wanted.auxiliary.insert(name.clone(), address)),
            Err(reason) => errors.push(format!("invalid auxiliary address {name}: {reason}")),
        }
    }
    Some(wanted)
}

fn parse_range(text: &str, subnet: IpNet) -> Result<IpNet, String> {
    let range = prefix(text).ok_or("invalid CIDR block notation")?;
    if let Some(reason) = other_family(range.addr(), subnet) {
        return Err(reason.to_owned());
    }
    if range.prefix_len() < subnet.prefix_len() {
        return Err(format!("CIDR block is bigger than its parent subnet {subnet}"));
    }
    if range != range.trunc() {
        return Err(format!("it should be {}", range.trunc()));
    }
    if !subnet.contains(&range) {
        return Err(format!("parent subnet {subnet} doesn't contain ip-range"));
    }
    Ok(range)
}

fn parse_address(text: &str, subnet: IpNet) -> Result<IpAddr, String> {
    // Clients may send the prefix with it.
    let bare = text.split('/').next().unwrap_or_default();
    let address: IpAddr = bare.parse().map_err(|_| "invalid address".to_owned())?;
    if let Some(reason) = other_family(address, subnet) {
        return Err(reason.to_owned());
    }
    if !subnet.contains(&address) {
        return Err(format!("parent subnet {subnet} doesn't contain this address"));
    }
    Ok(address)
}

fn other_family(address: IpAddr, subnet: IpNet) -> Option<&'static str> {
    match (address, subnet) {
        (IpAddr::V6(_), IpNet::V4(_)) => Some("parent subnet is an IPv4 block"),
        (IpAddr::V4(_), IpNet::V6(_)) => Some("parent subnet is an IPv6 block"),
        _ => None,
    }
}

fn prefix(text: &str) -> Option<IpNet> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::network::config::IpamConfig;

    fn config(pools: &[PoolConfig]) -> NetworkConfig {
        let ipam = IpamConfig { pools: pools.to_vec(), ..IpamConfig::default() };
        NetworkConfig { ipam, ..NetworkConfig::default() }
    }

    fn pool(subnet: &str, ip_range: &str, gateway: &str) -> PoolConfig {
        let [subnet, ip_range, gateway] = [subnet, ip_range, gateway].map(str::to_owned);
        PoolConfig { subnet, ip_range, gateway, auxiliary: BTreeMap::new() }
    }

    #[test]
    fn what_is_not_given_is_left_to_be_chosen() {
        let plain = parse(&config(&[PoolConfig::default()])).unwrap();
        assert_eq!(plain, WantedAddresses { ipv4: Some(Wanted::default()), ipv6: None });
        let six_only = NetworkConfig { enable_ipv4: Some(false), enable_ipv6: true, ..config(&[]) };
        assert_eq!(parse(&six_only).unwrap(), WantedAddresses { ipv4: None, ipv6: Some(Wanted::default()) });
        let none = NetworkConfig { enable_ipv4: Some(false), ..config(&[]) };
        assert_eq!(parse(&none).unwrap_err().to_string(), "IPv4 or IPv6 must be enabled");
    }

    #[test]
    fn both_families_are_read() {
        let pools = [pool("10.9.0.0/24", "10.9.0.128/25", "10.9.0.254"), pool("fd00:9::/64", "", "")];
        let both = parse(&NetworkConfig { enable_ipv6: true, ..config(&pools) }).unwrap();
        let four = both.ipv4.unwrap();
        assert_eq!(four.range.unwrap().to_string(), "10.9.0.128/25");
        assert_eq!(four.gateway.unwrap().to_string(), "10.9.0.254");
        assert_eq!(both.ipv6.unwrap().subnet.unwrap().to_string(), "fd00:9::/64");
    }

    #[rstest]
    #[case("10.0.0.0", "", "", "invalid subnet 10.0.0.0: invalid CIDR block notation")]
    #[case("10.0.0.5/24", "", "", "invalid subnet 10.0.0.5/24: it should be 10.0.0.0/24")]
    #[case(
        "10.0.0.0/24",
        "10.0.0.0/16",
        "",
        "invalid ip-range 10.0.0.0/16: CIDR block is bigger than its parent subnet 10.0.0.0/24"
    )]
    #[case(
        "10.0.0.0/24",
        "10.0.1.0/25",
        "",
        "invalid ip-range 10.0.1.0/25: parent subnet 10.0.0.0/24 doesn't contain ip-range"
    )]
    #[case("10.0.0.0/24", "fd00::/64", "", "invalid ip-range fd00::/64: parent subnet is an IPv4 block")]
    #[case(
        "10.0.0.0/24",
        "",
        "10.0.1.1",
        "invalid gateway 10.0.1.1: parent subnet 10.0.0.0/24 doesn't contain this address"
    )]
    #[case("10.0.0.0/24", "", "gw", "invalid gateway gw: invalid address")]
    #[case("fd00::/64", "", "", "invalid subnet fd00::/64: IPv6 is not enabled for the network")]
    fn what_is_wrong_is_said_in_dockers_words(
        #[case] subnet: &str,
        #[case] range: &str,
        #[case] gateway: &str,
        #[case] message: &str,
    ) {
        let error = parse(&config(&[pool(subnet, range, gateway)])).unwrap_err();
        assert_eq!(error.to_string(), format!("invalid network config:\n{message}"));
    }

    #[test]
    fn several_faults_are_told_together() {
        let pools = [pool("10.0.0.0/24", "", ""), pool("10.0.1.0/24", "x", "")];
        assert_eq!(
            parse(&config(&pools)).unwrap_err().to_string(),
            "invalid network config:\n* invalid ip-range x: invalid CIDR block notation\n\
             * invalid subnet 10.0.1.0/24: a network has one subnet of IPv4 only"
        );
    }
}
