//! Whose address is whose. A stopped container keeps its own until the pool is exhausted; then the one that has rested
//! longest goes to the container that has to start.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use beeline_net::Ipam;

use crate::error::Error;
use crate::identity::ContainerId;

/// The addresses of one network and their owners.
#[derive(Debug)]
pub(super) struct Leases {
    pool: Ipam,
    owners: BTreeMap<Ipv4Addr, Owner>,
    /// Counts stops, to tell which was first.
    stops: u64,
}

#[derive(Debug)]
struct Owner {
    id: ContainerId,
    /// The number of the stop since which the address rests; none while the container runs.
    resting: Option<u64>,
}

impl Leases {
    pub(super) fn new(pool: Ipam) -> Self {
        Self { pool, owners: BTreeMap::new(), stops: 0 }
    }

    pub(super) fn take(&mut self, id: &ContainerId, held: Option<Ipv4Addr>) -> Result<Ipv4Addr, Error> {
        let own = held.filter(|address| self.owners.get(address).is_some_and(|owner| owner.id == *id));
        let address = match (own, self.pool.allocate(None)) {
            (Some(own), spare) => {
                if let Ok(spare) = spare {
                    self.pool.release(spare);
                }
                own
            }
            (None, Ok(address)) => address,
            (None, Err(error)) => {
                self.longest_resting().ok_or_else(|| Error::Unavailable(error.to_string()))?
            }
        };
        self.owners.insert(address, Owner { id: id.clone(), resting: None });
        Ok(address)
    }

    pub(super) fn restore(&mut self, id: &ContainerId, address: Ipv4Addr) -> bool {
        let fits = self.pool.allocate(Some(address)).is_ok();
        if fits {
            self.owners.insert(address, Owner { id: id.clone(), resting: Some(0) });
        }
        fits
    }

    pub(super) fn rest(&mut self, id: &ContainerId, address: Ipv4Addr) {
        self.stops += 1;
        if let Some(owner) = self.owners.get_mut(&address).filter(|owner| owner.id == *id) {
            owner.resting = Some(self.stops);
        }
    }

    pub(super) fn release(&mut self, id: &ContainerId, address: Ipv4Addr) {
        // Another container may have got it meanwhile.
        if self.owners.get(&address).is_some_and(|owner| owner.id == *id) {
            self.owners.remove(&address);
            self.pool.release(address);
        }
    }

    fn longest_resting(&self) -> Option<Ipv4Addr> {
        let resting = self.owners.iter().filter_map(|(address, owner)| Some((owner.resting?, *address)));
        resting.min().map(|(_, address)| address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> ContainerId {
        digit.to_string().repeat(64).try_into().unwrap()
    }

    /// Room for three containers.
    fn leases() -> Leases {
        let subnet: ipnet::Ipv4Net = "10.0.0.0/29".parse().unwrap();
        let mut pool = Ipam::new(subnet, Ipv4Addr::new(10, 0, 0, 1)).unwrap();
        for host in [5, 6] {
            pool.allocate(Some(Ipv4Addr::new(10, 0, 0, host))).unwrap();
        }
        Leases::new(pool)
    }

    #[test]
    fn an_address_survives_a_stop() {
        let mut leases = leases();
        let first = leases.take(&id('a'), None).unwrap();
        leases.rest(&id('a'), first);
        let second = leases.take(&id('b'), None).unwrap();
        assert_ne!(first, second);
        assert_eq!(leases.take(&id('a'), Some(first)).unwrap(), first);
    }

    #[test]
    fn the_longest_resting_address_is_taken_when_none_is_free() {
        let mut leases = leases();
        let [one, two, three] = ['a', 'b', 'c'].map(|digit| leases.take(&id(digit), None).unwrap());
        assert!(leases.take(&id('d'), None).is_err(), "all run");
        leases.rest(&id('b'), two);
        leases.rest(&id('a'), one);
        assert_eq!(leases.take(&id('d'), None).unwrap(), two);
        // Its former owner gets another, and does not take it away by being removed.
        leases.release(&id('b'), two);
        assert_eq!(leases.take(&id('b'), Some(two)).unwrap(), one);
        leases.release(&id('c'), three);
        assert_eq!(leases.take(&id('e'), None).unwrap(), three);
    }

    #[test]
    fn a_stored_lease_is_taken_back_once() {
        let mut leases = leases();
        let address = Ipv4Addr::new(10, 0, 0, 3);
        assert!(leases.restore(&id('a'), address));
        assert!(!leases.restore(&id('b'), address));
        assert!(!leases.restore(&id('b'), Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(leases.take(&id('a'), Some(address)).unwrap(), address);
    }
}
