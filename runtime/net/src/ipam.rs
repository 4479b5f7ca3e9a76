//! Which addresses of a subnet are leased. Pure: the caller stores the leases and gives them back at start.

use std::{collections::BTreeSet, net::Ipv4Addr};

use ipnet::Ipv4Net;

use crate::Error;

/// The pool of one network's addresses.
///
/// Addresses are given in turn, so that a released one rests as long as possible: peers' neighbour entries, DNS answers and
/// connections of its last holder do not reach the next.
#[derive(Clone, Debug)]
pub struct Ipam {
    subnet: Ipv4Net,
    gateway: Ipv4Addr,
    leased: BTreeSet<u32>,
    last: u32,
}

impl Ipam {
    /// An empty pool.
    ///
    /// # Errors
    /// [`Error::SubnetTooSmall`] beyond /30, [`Error::InvalidAddress`] for a gateway that is no host's address of the subnet.
    pub fn new(subnet: Ipv4Net, gateway: Ipv4Addr) -> Result<Self, Error> {
        let subnet = subnet.trunc();
        if subnet.prefix_len() > 30 {
            return Err(Error::SubnetTooSmall { subnet });
        }
        let ipam = Self { subnet, gateway, leased: BTreeSet::new(), last: u32::from(subnet.network()) };
        ipam.check_host(gateway)?;
        Ok(ipam)
    }

    /// The subnet.
    pub fn subnet(&self) -> Ipv4Net {
        self.subnet
    }

    /// The gateway's address.
    pub fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    /// The leased addresses, in order.
    pub fn leases(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.leased.iter().map(|&address| Ipv4Addr::from(address))
    }

    /// Leases the address asked for, or the next free one.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`], [`Error::AddressInUse`] or [`Error::NoFreeAddress`].
    pub fn allocate(&mut self, requested: Option<Ipv4Addr>) -> Result<Ipv4Addr, Error> {
        let address = match requested {
            Some(address) => self.check_requested(address)?,
            None => self.next_free().ok_or(Error::NoFreeAddress { subnet: self.subnet })?,
        };
        if requested.is_none() {
            self.last = u32::from(address);
        }
        self.leased.insert(address.into());
        Ok(address)
    }

    /// Gives an address back; tells whether it was leased.
    pub fn release(&mut self, address: Ipv4Addr) -> bool {
        self.leased.remove(&address.into())
    }

    fn check_requested(&self, address: Ipv4Addr) -> Result<Ipv4Addr, Error> {
        self.check_host(address)?;
        if address == self.gateway {
            return Err(self.invalid(address, "it is the gateway's"));
        }
        if self.leased.contains(&address.into()) {
            return Err(Error::AddressInUse { address, subnet: self.subnet });
        }
        Ok(address)
    }

    fn check_host(&self, address: Ipv4Addr) -> Result<(), Error> {
        if !self.subnet.contains(&address) {
            return Err(self.invalid(address, "it is outside the subnet"));
        }
        if address == self.subnet.network() || address == self.subnet.broadcast() {
            return Err(self.invalid(address, "it is the network's or the broadcast address"));
        }
        Ok(())
    }

    fn invalid(&self, address: Ipv4Addr, reason: &'static str) -> Error {
        Error::InvalidAddress { address, subnet: self.subnet, reason }
    }

    /// The first free address after the last one given, around the end. Walks over runs of leases only.
    fn next_free(&self) -> Option<Ipv4Addr> {
        let first = u32::from(self.subnet.network()) + 1;
        let last = u32::from(self.subnet.broadcast()) - 1;
        let start = if (first..last).contains(&self.last) { self.last + 1 } else { first };
        (start..=last)
            .chain(first..start)
            .map(Ipv4Addr::from)
            .find(|address| *address != self.gateway && !self.leased.contains(&u32::from(*address)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pool(subnet: &str) -> Ipam {
        let subnet: Ipv4Net = subnet.parse().expect("a subnet");
        Ipam::new(subnet, subnet.hosts().next().expect("a host")).expect("a pool")
    }

    #[test]
    fn addresses_are_given_in_turn_and_a_released_one_rests() {
        let mut pool = pool("10.0.0.0/29");
        let first = pool.allocate(None).expect("an address");
        assert_eq!(first, Ipv4Addr::new(10, 0, 0, 2));
        assert!(pool.release(first));
        assert_eq!(pool.allocate(None).expect("an address"), Ipv4Addr::new(10, 0, 0, 3));
        for last in [4, 5, 6, 2] {
            assert_eq!(pool.allocate(None).expect("an address"), Ipv4Addr::new(10, 0, 0, last));
        }
        assert!(matches!(pool.allocate(None), Err(Error::NoFreeAddress { .. })));
    }

    #[test]
    fn an_address_asked_for_is_checked() {
        let mut pool = pool("10.0.0.0/24");
        let asked = Ipv4Addr::new(10, 0, 0, 77);
        assert_eq!(pool.allocate(Some(asked)).expect("it is free"), asked);
        assert!(matches!(pool.allocate(Some(asked)), Err(Error::AddressInUse { .. })));
        for bad in [[10, 0, 0, 0], [10, 0, 0, 1], [10, 0, 0, 255], [10, 0, 1, 1]] {
            assert!(matches!(pool.allocate(Some(bad.into())), Err(Error::InvalidAddress { .. })), "{bad:?}");
        }
    }

    #[test]
    fn small_subnets_and_foreign_gateways_are_refused() {
        let small: Ipv4Net = "10.0.0.0/31".parse().expect("a subnet");
        assert!(matches!(Ipam::new(small, small.network()), Err(Error::SubnetTooSmall { .. })));
        let subnet: Ipv4Net = "10.0.0.0/24".parse().expect("a subnet");
        assert!(Ipam::new(subnet, Ipv4Addr::new(10, 0, 1, 1)).is_err());
        assert!(Ipam::new(subnet, subnet.broadcast()).is_err());
    }

    proptest! {
        #[test]
        fn no_address_is_leased_twice_or_lost(prefix in 24_u8..=30, steps in prop::collection::vec((any::<bool>(), any::<u8>()), 1..400)) {
            let subnet = Ipv4Net::new(Ipv4Addr::new(192, 168, 7, 0), prefix).expect("a subnet");
            let gateway = subnet.hosts().last().expect("a host");
            let mut pool = Ipam::new(subnet, gateway).expect("a pool");
            let capacity = subnet.hosts().count() - 1;
            let mut held: Vec<Ipv4Addr> = Vec::new();
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
