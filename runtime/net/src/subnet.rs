//! Which subnet a network gets when none is named, and the hardware address of an IP address.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::Error;

/// A range of addresses that networks are cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The range.
    pub base: Ipv4Net,
    /// The length of the prefix of each network.
    pub prefix_len: u8,
}

/// Private ranges that are rarely used by hosts and do not meet Docker's own first choices (172.17.0.0/16 to 172.20.0.0/16).
pub fn default_pools() -> Vec<Pool> {
    [
        (Ipv4Addr::new(172, 31, 0, 0), 16, 24),
        (Ipv4Addr::new(172, 28, 0, 0), 14, 24),
        (Ipv4Addr::new(192, 168, 224, 0), 19, 24),
        (Ipv4Addr::new(10, 213, 0, 0), 16, 24),
    ]
    .into_iter()
    .filter_map(|(base, length, prefix_len)| {
        Some(Pool { base: Ipv4Net::new(base, length).ok()?, prefix_len })
    })
    .collect()
}

/// The first subnet of the pools that overlaps none of the routes (the default route is no obstacle).
///
/// # Errors
/// [`Error::NoFreeSubnet`].
pub fn choose_subnet(routes: &[Ipv4Net], pools: &[Pool]) -> Result<Ipv4Net, Error> {
    pools
        .iter()
        .filter_map(|pool| pool.base.subnets(pool.prefix_len).ok())
        .flatten()
        .find(|subnet| !routes.iter().any(|route| route.prefix_len() > 0 && overlap(route, subnet)))
        .ok_or(Error::NoFreeSubnet)
}

fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// The gateway of a subnet when none is named: its first host.
pub fn default_gateway(subnet: Ipv4Net) -> Ipv4Addr {
    subnet.hosts().next().unwrap_or(subnet.network())
}

/// The hardware address of an endpoint: locally administered and made of its IP address, as Docker has it.
pub fn mac_of(ip: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = ip.octets();
    [0x02, 0x42, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().expect("a subnet")
    }

    #[test]
    fn the_first_subnet_is_taken_when_the_host_has_only_a_default_route() {
        let subnet = choose_subnet(&[net("0.0.0.0/0")], &default_pools()).expect("a subnet");
        assert_eq!(subnet, net("172.31.0.0/24"));
        assert_eq!(default_gateway(subnet), Ipv4Addr::new(172, 31, 0, 1));
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
    fn the_hardware_address_is_dockers() {
        assert_eq!(mac_of(Ipv4Addr::new(172, 17, 0, 2)), [0x02, 0x42, 172, 17, 0, 2]);
    }

    proptest! {
        #[test]
        fn the_choice_never_overlaps_a_route(routes in prop::collection::vec((any::<u32>(), 1_u8..=32), 0..40)) {
            let routes: Vec<Ipv4Net> = routes
                .into_iter()
                .map(|(address, length)| Ipv4Net::new(Ipv4Addr::from(address), length).expect("a route").trunc())
                .collect();
            if let Ok(subnet) = choose_subnet(&routes, &default_pools()) {
                for route in routes {
                    prop_assert!(!subnet.hosts().any(|host| route.contains(&host)), "{subnet} meets {route}");
                }
            }
        }
    }
}
