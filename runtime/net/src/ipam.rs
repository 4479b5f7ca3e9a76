//! Which addresses of a subnet are leased. Pure: the caller stores the leases and gives them back at start.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

use crate::Error;

/// The pool of one network's addresses of one family.
///
/// Addresses are given in turn, so that a released one rests as long as possible: peers' neighbour entries, DNS answers and
/// connections of its last holder do not reach the next.
#[derive(Clone, Debug)]
pub struct Ipam {
    subnet: IpNet,
    gateway: IpAddr,
    /// What is chosen from, within the subnet.
    range: IpNet,
    /// What is neither chosen nor given.
    reserved: BTreeSet<u128>,
    leased: BTreeSet<u128>,
    last: u128,
}

impl Ipam {
    /// An empty pool.
    ///
    /// # Errors
    /// [`Error::SubnetTooSmall`] beyond /30 (/126), [`Error::InvalidAddress`] for a gateway that is no host's address of the
    /// subnet.
    pub fn new(subnet: IpNet, gateway: IpAddr) -> Result<Self, Error> {
        let subnet = subnet.trunc();
        if subnet.max_prefix_len() - subnet.prefix_len() < 2 {
            return Err(Error::SubnetTooSmall { subnet });
        }
        let (reserved, leased) = (BTreeSet::new(), BTreeSet::new());
        let last = number(subnet.network());
        let ipam = Self { subnet, gateway, range: subnet, reserved, leased, last };
        ipam.check_host(gateway)?;
        Ok(ipam)
    }

    /// Chooses addresses from a part of the subnet only; any other may still be asked for.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`] for a range that is no part of the subnet.
    pub fn with_range(mut self, range: IpNet) -> Result<Self, Error> {
        let range = range.trunc();
        if !self.subnet.contains(&range) {
            return Err(self.invalid(range.network(), "the range to choose from is outside the subnet"));
        }
        self.range = range;
        Ok(self)
    }

    /// Never leases these: something else has them.
    #[must_use]
    pub fn with_reserved(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.reserved.extend(addresses.into_iter().map(number));
        self
    }

    /// The subnet.
    pub fn subnet(&self) -> IpNet {
        self.subnet
    }

    /// The gateway's address.
    pub fn gateway(&self) -> IpAddr {
        self.gateway
    }

    /// The leased addresses, in order.
    pub fn leases(&self) -> impl Iterator<Item = IpAddr> {
        self.leased.iter().map(|&leased| self.address(leased))
    }

    /// Leases the address asked for, or the next free one.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`], [`Error::AddressInUse`] or [`Error::NoFreeAddress`].
    pub fn allocate(&mut self, requested: Option<IpAddr>) -> Result<IpAddr, Error> {
        let address = match requested {
            Some(address) => self.check_requested(address)?,
            None => self.next_free().ok_or(Error::NoFreeAddress { subnet: self.subnet })?,
        };
        if requested.is_none() {
            self.last = number(address);
        }
        self.leased.insert(number(address));
        Ok(address)
    }

    /// Gives an address back; tells whether it was leased.
    pub fn release(&mut self, address: IpAddr) -> bool {
        self.leased.remove(&number(address))
    }

    fn check_requested(&self, address: IpAddr) -> Result<IpAddr, Error> {
        self.check_host(address)?;
        if address == self.gateway {
            return Err(self.invalid(address, "it is the gateway's"));
        }
        if self.reserved.contains(&number(address)) {
            return Err(self.invalid(address, "it is reserved"));
        }
        if self.leased.contains(&number(address)) {
            return Err(Error::AddressInUse { address, subnet: self.subnet });
        }
        Ok(address)
    }

    fn check_host(&self, address: IpAddr) -> Result<(), Error> {
        if !self.subnet.contains(&address) {
            return Err(self.invalid(address, "it is outside the subnet"));
        }
        let is_broadcast = address.is_ipv4() && address == self.subnet.broadcast();
        if address == self.subnet.network() || is_broadcast {
            return Err(self.invalid(address, "it is the network's or the broadcast address"));
        }
        Ok(())
    }

    fn invalid(&self, address: IpAddr, reason: &'static str) -> Error {
        Error::InvalidAddress { address, subnet: self.subnet, reason }
    }

    /// The first free address after the last one given, around the end. Walks over runs of leases only.
    fn next_free(&self) -> Option<IpAddr> {
        let (first, last) = (number(self.range.network()), number(self.range.broadcast()));
        let start = if (first..last).contains(&self.last) { self.last + 1 } else { first };
        (start..=last).chain(first..start).map(|number| self.address(number)).find(|address| {
            let taken = number(*address);
            *address != self.gateway
                && !self.reserved.contains(&taken)
                && !self.leased.contains(&taken)
                && self.check_host(*address).is_ok()
        })
    }

    /// The address of a number, in the subnet's family.
    fn address(&self, number: u128) -> IpAddr {
        match self.subnet {
            IpNet::V4(_) => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
            IpNet::V6(_) => Ipv6Addr::from(number).into(),
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn pool(subnet: &str) -> Ipam {
        let subnet: IpNet = subnet.parse().expect("a subnet");
        Ipam::new(subnet, crate::default_gateway(subnet)).expect("a pool")
    }

    #[test]
    fn addresses_are_given_in_turn_and_a_released_one_rests() {
        let mut pool = pool("10.0.0.0/29");
        let first = pool.allocate(None).expect("an address");
        assert_eq!(first, host(2));
        assert!(pool.release(first));
        assert_eq!(pool.allocate(None).expect("an address"), host(3));
        for last in [4, 5, 6, 2] {
            assert_eq!(pool.allocate(None).expect("an address"), host(last));
        }
        assert!(matches!(pool.allocate(None), Err(Error::NoFreeAddress { .. })));
    }

    #[test]
    fn an_address_asked_for_is_checked() {
        let mut pool = pool("10.0.0.0/24");
        let asked = host(77);
        assert_eq!(pool.allocate(Some(asked)).expect("it is free"), asked);
        assert!(matches!(pool.allocate(Some(asked)), Err(Error::AddressInUse { .. })));
        for bad in [[10, 0, 0, 0_u8], [10, 0, 0, 1], [10, 0, 0, 255], [10, 0, 1, 1]] {
            assert!(matches!(pool.allocate(Some(bad.into())), Err(Error::InvalidAddress { .. })), "{bad:?}");
        }
    }

    #[test]
    fn small_subnets_and_foreign_gateways_are_refused() {
        for small in ["10.0.0.0/31", "fd00::/127"] {
            let small: IpNet = small.parse().expect("a subnet");
            assert!(matches!(Ipam::new(small, small.network()), Err(Error::SubnetTooSmall { .. })));
        }
        let subnet: IpNet = "10.0.0.0/24".parse().expect("a subnet");
        assert!(Ipam::new(subnet, [10, 0, 1, 1].into()).is_err());
        assert!(Ipam::new(subnet, Ipv6Addr::LOCALHOST.into()).is_err());
        assert!(Ipam::new(subnet, subnet.broadcast()).is_err());
    }

    #[test]
    fn addresses_are_chosen_from_the_range_and_any_other_may_be_asked_for() {
        let mut pool = pool("10.0.0.0/24")
            .with_range("10.0.0.64/30".parse().expect("a range"))
            .expect("a part of the subnet")
            .with_reserved([host(65)]);
        for last in [64, 66, 67] {
            assert_eq!(pool.allocate(None).expect("an address"), host(last));
        }
        assert!(matches!(pool.allocate(None), Err(Error::NoFreeAddress { .. })));
        assert_eq!(pool.allocate(Some(host(9))).expect("it is free"), host(9));
        assert!(matches!(pool.allocate(Some(host(65))), Err(Error::InvalidAddress { .. })));
        assert!(pool.with_range("10.0.0.0/16".parse().expect("a range")).is_err());
    }

    #[test]
    fn a_subnet_of_version_6_has_room_and_no_broadcast_address() {
        let mut pool = pool("fd00:1::/64");
        assert_eq!(pool.gateway(), "fd00:1::1".parse::<IpAddr>().expect("an address"));
        for address in ["fd00:1::2", "fd00:1::3"] {
            assert_eq!(pool.allocate(None).expect("an address").to_string(), address);
        }
        let last = "fd00:1::ffff:ffff:ffff:ffff".parse().expect("an address");
        assert_eq!(pool.allocate(Some(last)).expect("it is free"), last);
        assert!(pool.allocate(Some("fd00:1::".parse().expect("an address"))).is_err());
    }

    proptest! {
        #[test]
        fn no_address_is_leased_twice_or_lost(prefix in 24_u8..=30, steps in prop::collection::vec((any::<bool>(), any::<u8>()), 1..400)) {
            let subnet = IpNet::new([192, 168, 7, 0].into(), prefix).expect("a subnet");
            let gateway = subnet.hosts().last().expect("a host");
            let mut pool = Ipam::new(subnet, gateway).expect("a pool");
            let capacity = subnet.hosts().count() - 1;
            let mut held: Vec<IpAddr> = Vec::new();
            for (take, pick) in steps {
                if take {
                    match pool.allocate(None) {
                        Ok(address) => {
                            prop_assert!(!held.contains(&address), "{address} is held");
                            prop_assert!(subnet.contains(&address) && address != gateway);
                            prop_assert!(address != subnet.network() && address != subnet.broadcast());
                            held.push(address);
                        }
                        Err(_) => prop_assert_eq!(held.len(), capacity),
                    }
                } else if !held.is_empty() {
                    let address = held.swap_remove(usize::from(pick) % held.len());
                    prop_assert!(pool.release(address));
                    prop_assert!(!pool.release(address));
                }
                let mut sorted = held.clone();
                sorted.sort();
                prop_assert_eq!(pool.leases().collect::<Vec<_>>(), sorted);
            }
        }

        #[test]
        fn a_released_address_is_the_last_to_come_again(taken in 1_usize..20) {
            let mut pool = pool("10.1.0.0/27");
            let held: Vec<_> = (0..taken).map(|_| pool.allocate(None).expect("an address")).collect();
            pool.release(held[0]);
            let free = 29 - taken;
            for _ in 0..free {
                prop_assert_ne!(pool.allocate(None).expect("an address"), held[0]);
            }
            prop_assert_eq!(pool.allocate(None).expect("an address"), held[0]);
        }
    }
}
