//! Which subnet a network gets when none is named, and the hardware address of an IP address.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv6Net};

use crate::Error;

/// A range of addresses that networks are cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The range.
    pub base: IpNet,
    /// The length of the prefix of each network.
    pub prefix_len: u8,
}

/// Docker's private ranges, cut into small networks: first those that hosts rarely use and that Docker itself takes last.
pub fn default_pools() -> Vec<Pool> {
    [
        (Ipv4Addr::new(172, 31, 0, 0), 16),
        (Ipv4Addr::new(172, 28, 0, 0), 14),
        (Ipv4Addr::new(192, 168, 224, 0), 19),
        (Ipv4Addr::new(10, 213, 0, 0), 16),
        (Ipv4Addr::new(172, 24, 0, 0), 14),
        (Ipv4Addr::new(172, 20, 0, 0), 14),
        (Ipv4Addr::new(172, 18, 0, 0), 15),
        (Ipv4Addr::new(172, 17, 0, 0), 16),
        (Ipv4Addr::new(192, 168, 0, 0), 16),
    ]
    .into_iter()
    .filter_map(|(base, length)| Some(Pool { base: IpNet::new(base.into(), length).ok()?, prefix_len: 24 }))
    .collect()
}

/// The unique local addresses (RFC 4193) of an instance: `seed` is the global id, random and always the same for it.
pub fn local_pool(seed: [u8; 5]) -> Pool {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&seed);
    Pool { base: Ipv6Net::new_assert(octets.into(), 48).into(), prefix_len: 64 }
}

/// The first subnet of the pools that overlaps none of those that are taken (a default route is no obstacle).
///
/// # Errors
/// [`Error::NoFreeSubnet`].
pub fn choose_subnet(taken: &[IpNet], pools: &[Pool]) -> Result<IpNet, Error> {
    pools
        .iter()
        .filter_map(|pool| pool.base.subnets(pool.prefix_len).ok())
        .flatten()
        .find(|subnet| !taken.iter().any(|other| other.prefix_len() > 0 && overlap(other, subnet)))
        .ok_or(Error::NoFreeSubnet)
}

/// Whether two subnets have an address in common.
pub fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// The gateway of a subnet when none is named: its first host.
pub fn default_gateway(subnet: IpNet) -> IpAddr {
    match subnet {
        IpNet::V4(subnet) => subnet.hosts().next().unwrap_or(subnet.network()).into(),
        // The first address means any router (RFC 4291).
        IpNet::V6(subnet) => subnet.hosts().nth(1).unwrap_or(subnet.network()).into(),
    }
}

/// The hardware address of an endpoint: locally administered and made of its IP address, as Docker has it.
pub fn mac_of(ip: IpAddr) -> [u8; 6] {
    let [a, b, c, d] = match ip {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(ip) => {
            let number = u128::from(ip);
            // All of the host's part counts: addresses that a user chose may differ anywhere in it.
            ((number as u32) ^ ((number >> 32) as u32)).to_be_bytes()
        }
    };
    [0x02, 0x42, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a subnet")
    }

    #[test]
    fn the_first_subnet_is_taken_when_the_host_has_only_a_default_route() {
        let subnet = choose_subnet(&[net("0.0.0.0/0")], &default_pools()).expect("a subnet");
        assert_eq!(subnet, net("172.31.0.0/24"));
        assert_eq!(default_gateway(subnet), IpAddr::from([172, 31, 0, 1]));
        assert_eq!(default_gateway(net("fd00::/64")).to_string(), "fd00::1");
    }

    #[test]
    fn subnets_that_hold_or_are_held_by_a_route_are_skipped() {
        let routes = [net("172.31.0.128/25"), net("172.31.1.0/24"), net("172.31.2.7/32")];
        assert_eq!(choose_subnet(&routes, &default_pools()).expect("a subnet"), net("172.31.3.0/24"));
        assert_eq!(
            choose_subnet(&[net("172.16.0.0/12")], &default_pools()).expect("a subnet"),
            net("192.168.224.0/24")
        );
        let everything = [net("172.16.0.0/12"), net("10.0.0.0/8"), net("192.168.0.0/16")];
        assert!(matches!(choose_subnet(&everything, &default_pools()), Err(Error::NoFreeSubnet)));
    }

    #[test]
    fn an_instance_has_local_subnets_of_its_own() {
        let pools = [local_pool([0x12, 0x34, 0x56, 0x78, 0x9a])];
        let first = choose_subnet(&[], &pools).expect("a subnet");
        assert_eq!(first, net("fd12:3456:789a::/64"));
        assert_eq!(choose_subnet(&[first], &pools).expect("a subnet"), net("fd12:3456:789a:1::/64"));
    }

    #[test]
    fn the_hardware_address_is_dockers() {
        assert_eq!(mac_of([172, 17, 0, 2].into()), [0x02, 0x42, 172, 17, 0, 2]);
        let six = |text: &str| mac_of(text.parse().expect("an address"));
        assert_eq!(six("fd00::a:b"), [0x02, 0x42, 0, 0x0a, 0, 0x0b]);
        assert_ne!(six("fd00::1:0:0:2"), six("fd00::2"));
    }

    proptest! {
        #[test]
        fn the_choice_never_overlaps_a_route(routes in prop::collection::vec((any::<u32>(), 1_u8..=32), 0..40)) {
            let routes: Vec<IpNet> = routes
                .into_iter()
                .map(|(address, length)| IpNet::new(Ipv4Addr::from(address).into(), length).expect("a route").trunc())
                .collect();
            if let Ok(subnet) = choose_subnet(&routes, &default_pools()) {
                for route in routes {
                    prop_assert!(!subnet.hosts().any(|host| route.contains(&host)), "{subnet} meets {route}");
                }
            }
        }
    }
}
