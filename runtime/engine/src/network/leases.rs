//! Whose address is whose. A stopped container keeps its own until the pool is exhausted, or someone asks for just that
//! one; then the one that has rested longest goes to the container that has to start.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use beeline_net::Ipam;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::identity::ContainerId;

/// A container's addresses on one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Lease {
    pub(crate) ipv4: Option<Ipv4Addr>,
    pub(crate) ipv6: Option<Ipv6Addr>,
}

impl Lease {
    /// The addresses, IPv4 first.
    pub(crate) fn addresses(self) -> impl Iterator<Item = IpAddr> {
        self.ipv4.map(IpAddr::from).into_iter().chain(self.ipv6.map(IpAddr::from))
    }
}

/// The addresses of one network and their owners.
#[derive(Debug)]
pub(super) struct Leases {
    ipv4: Option<Pool>,
    ipv6: Option<Pool>,
    /// Those that are not resting: their containers run, or are being started.
    active: Vec<ContainerId>,
    /// Counts stops, to tell which was first.
    stops: u64,
    /// The network is being removed.
    closed: bool,
}

/// The addresses of one family.
#[derive(Debug)]
struct Pool {
    ipam: Ipam,
    owners: BTreeMap<IpAddr, Owner>,
}

#[derive(Debug)]
struct Owner {
    id: ContainerId,
    /// The number of the stop since which the address rests; none while the container runs.
    resting: Option<u64>,
}

impl Leases {
    pub(super) fn new(ipv4: Option<Ipam>, ipv6: Option<Ipam>) -> Self {
        let pool = |ipam| Pool { ipam, owners: BTreeMap::new() };
        Self { ipv4: ipv4.map(pool), ipv6: ipv6.map(pool), active: Vec::new(), stops: 0, closed: false }
    }

    /// Leases addresses for a start: those asked for, those the container had before if they are still its own, else new
    /// ones. None if the network is being removed.
    ///
    /// # Errors
    /// What is asked for belongs to a running container, or every address does.
    pub(super) fn take(&mut self, id: &ContainerId, wanted: Lease) -> Result<Option<Lease>, Error> {
        if self.closed {
            return Ok(None);
        }
        let had = self.of(id);
        let taken = self.take_both(id, wanted);
        match taken {
            Ok(lease) => {
                if !self.active.contains(id) {
                    self.active.push(id.clone());
                }
                Ok(Some(lease))
            }
            Err(error) => {
                // What was taken for the first family goes back.
                if let Some(pool) = &mut self.ipv4 {
                    let new = pool.of(id).filter(|now| Some(*now) != had.ipv4.map(IpAddr::from));
                    new.into_iter().for_each(|address| pool.release(id, address));
                }
                self.rest(id);
                Err(error)
            }
        }
    }

    fn take_both(&mut self, id: &ContainerId, wanted: Lease) -> Result<Lease, Error> {
        let mut lease = Lease::default();
        if let Some(pool) = &mut self.ipv4
            && let IpAddr::V4(address) = pool.take(id, wanted.ipv4.map(IpAddr::from))?
        {
            lease.ipv4 = Some(address);
        }
        if let Some(pool) = &mut self.ipv6
            && let IpAddr::V6(address) = pool.take(id, wanted.ipv6.map(IpAddr::from))?
        {
            lease.ipv6 = Some(address);
        }
        Ok(lease)
    }

    /// Takes stored addresses into the pools; the answer is those that fit.
    pub(super) fn restore(&mut self, id: &ContainerId, stored: Lease) -> Lease {
        let ipv4 = stored.ipv4.filter(|address| restore(&mut self.ipv4, id, (*address).into()));
        let ipv6 = stored.ipv6.filter(|address| restore(&mut self.ipv6, id, (*address).into()));
        Lease { ipv4, ipv6 }
    }

    /// The container has stopped.
    pub(super) fn rest(&mut self, id: &ContainerId) {
        self.stops += 1;
        self.active.retain(|active| active != id);
        for pool in [&mut self.ipv4, &mut self.ipv6].into_iter().flatten() {
            for owner in pool.owners.values_mut().filter(|owner| owner.id == *id) {
                owner.resting = Some(self.stops);
            }
        }
    }

    /// The container has left.
    pub(super) fn release(&mut self, id: &ContainerId) {
        self.active.retain(|active| active != id);
        for pool in [&mut self.ipv4, &mut self.ipv6].into_iter().flatten() {
            if let Some(address) = pool.of(id) {
                pool.release(id, address);
            }
        }
    }

    /// Gives no lease from now on, unless someone has one that is not resting; their containers are the error.
    pub(super) fn close(&mut self) -> Result<(), Vec<ContainerId>> {
        if !self.active.is_empty() {
            return Err(self.active.clone());
        }
        self.closed = true;
        Ok(())
    }

    /// The removal failed.
    pub(super) fn reopen(&mut self) {
        self.closed = false;
    }

    fn of(&self, id: &ContainerId) -> Lease {
        let address = |pool: &Option<Pool>| pool.as_ref().and_then(|pool| pool.of(id));
        let mut lease = Lease::default();
        for address in [address(&self.ipv4), address(&self.ipv6)].into_iter().flatten() {
            match address {
                IpAddr::V4(address) => lease.ipv4 = Some(address),
                IpAddr::V6(address) => lease.ipv6 = Some(address),
            }
        }
        lease
    }
}

impl Pool {
    fn of(&self, id: &ContainerId) -> Option<IpAddr> {
        self.owners.iter().find(|(_, owner)| owner.id == *id).map(|(address, _)| *address)
    }

    fn take(&mut self, id: &ContainerId, wanted: Option<IpAddr>) -> Result<IpAddr, Error> {
        let own = self.of(id);
        let address = match (own, wanted) {
            (Some(own), None) => own,
            (Some(own), Some(wanted)) if own == wanted => own,
            (_, Some(wanted)) => self.take_this(wanted)?,
            (None, None) => self.take_any()?,
        };
        if let Some(own) = own.filter(|own| *own != address) {
            self.release(id, own);
        }
        self.owners.insert(address, Owner { id: id.clone(), resting: None });
        Ok(address)
    }

    fn take_any(&mut self) -> Result<IpAddr, Error> {
        self.ipam.allocate(None).or_else(|error| {
            let resting = self.owners.iter().filter_map(|(address, owner)| Some((owner.resting?, *address)));
            resting.min().map(|(_, address)| address).ok_or_else(|| Error::Unavailable(error.to_string()))
        })
    }

    fn take_this(&mut self, wanted: IpAddr) -> Result<IpAddr, Error> {
        match self.ipam.allocate(Some(wanted)) {
            Ok(address) => Ok(address),
            Err(_) if self.owners.get(&wanted).is_some_and(|owner| owner.resting.is_some()) => Ok(wanted),
            Err(beeline_net::Error::AddressInUse { .. }) => {
                Err(Error::Forbidden("Address already in use".into()))
            }
            Err(error) => Err(Error::Invalid(error.to_string())),
        }
    }

    fn release(&mut self, id: &ContainerId, address: IpAddr) {
        // Another container may have got it meanwhile.
        if self.owners.get(&address).is_some_and(|owner| owner.id == *id) {
            self.owners.remove(&address);
            self.ipam.release(address);
        }
    }
}

fn restore(pool: &mut Option<Pool>, id: &ContainerId, address: IpAddr) -> bool {
    let Some(pool) = pool else { return false };
    let fits = pool.ipam.allocate(Some(address)).is_ok();
    if fits {
        pool.owners.insert(address, Owner { id: id.clone(), resting: Some(0) });
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> ContainerId {
        digit.to_string().repeat(64).try_into().unwrap()
    }

    fn pool(subnet: &str, gateway: &str, last: u8) -> Ipam {
        let base: IpAddr = subnet.split('/').next().unwrap().parse().unwrap();
        let taken = (last..8).filter_map(|host| match base {
            IpAddr::V4(base) => Some(Ipv4Addr::from(u32::from(base) + u32::from(host)).into()),
            IpAddr::V6(_) => None,
        });
        Ipam::new(subnet.parse().unwrap(), gateway.parse().unwrap()).unwrap().with_reserved(taken)
    }

    /// Room for three containers.
    fn leases() -> Leases {
        Leases::new(Some(pool("10.0.0.0/29", "10.0.0.1", 5)), None)
    }

    fn take(leases: &mut Leases, digit: char) -> Result<Lease, Error> {
        leases.take(&id(digit), Lease::default()).map(Option::unwrap)
    }

    fn address(last: u8) -> Lease {
        Lease { ipv4: Some(Ipv4Addr::new(10, 0, 0, last)), ipv6: None }
    }

    #[test]
    fn an_address_survives_a_stop() {
        let mut leases = leases();
        let first = take(&mut leases, 'a').unwrap();
        leases.rest(&id('a'));
        let second = take(&mut leases, 'b').unwrap();
        assert_ne!(first, second);
        assert_eq!(take(&mut leases, 'a').unwrap(), first);
    }

    #[test]
    fn the_longest_resting_address_is_taken_when_none_is_free() {
        let mut leases = leases();
        let [one, two, three] = ['a', 'b', 'c'].map(|digit| take(&mut leases, digit).unwrap());
        assert!(take(&mut leases, 'd').is_err(), "all run");
        leases.rest(&id('b'));
        leases.rest(&id('a'));
        assert_eq!(take(&mut leases, 'd').unwrap(), two);
        // Its former owner gets another, and does not take it away by being removed.
        leases.release(&id('b'));
        assert_eq!(take(&mut leases, 'b').unwrap(), one);
        leases.release(&id('c'));
        assert_eq!(take(&mut leases, 'e').unwrap(), three);
    }

    #[test]
    fn a_stored_lease_is_taken_back_once() {
        let mut leases = leases();
        assert_eq!(leases.restore(&id('a'), address(3)), address(3));
        assert_eq!(leases.restore(&id('b'), address(3)), Lease::default());
        let foreign = Lease { ipv4: Some(Ipv4Addr::new(192, 0, 2, 1)), ipv6: None };
        assert_eq!(leases.restore(&id('b'), foreign), Lease::default());
        assert_eq!(take(&mut leases, 'a').unwrap(), address(3));
    }

    #[test]
    fn an_address_asked_for_is_taken_from_one_that_rests_not_from_one_that_runs() {
        let mut leases = leases();
        assert_eq!(take(&mut leases, 'a').unwrap(), address(2));
        let refused = leases.take(&id('b'), address(2)).unwrap_err();
        assert_eq!(refused.to_string(), "Address already in use");
        assert_eq!(take(&mut leases, 'b').unwrap(), address(3));
        leases.rest(&id('a'));
        assert_eq!(leases.take(&id('b'), address(2)).unwrap(), Some(address(2)));
        assert_ne!(take(&mut leases, 'a').unwrap(), address(2));
    }

    #[test]
    fn both_families_are_leased_together_or_not_at_all() {
        let six = pool("fd00::/64", "fd00::1", 0);
        let mut leases = Leases::new(Some(pool("10.0.0.0/29", "10.0.0.1", 5)), Some(six));
        let first = take(&mut leases, 'a').unwrap();
        assert_eq!(first.ipv6.unwrap().to_string(), "fd00::2");
        let wanted = Lease { ipv4: None, ipv6: first.ipv6 };
        leases.take(&id('b'), wanted).unwrap_err();
        assert_eq!(leases.of(&id('b')), Lease::default(), "nothing is kept");
        assert_eq!(leases.close(), Err(vec![id('a')]));
    }

    #[test]
    fn a_network_that_is_being_removed_takes_nobody() {
        let mut leases = leases();
        take(&mut leases, 'a').unwrap();
        assert_eq!(leases.close(), Err(vec![id('a')]));
        leases.rest(&id('a'));
        assert_eq!(leases.close(), Ok(()));
        assert_eq!(leases.take(&id('b'), Lease::default()).unwrap(), None);
        leases.reopen();
        take(&mut leases, 'b').unwrap();
    }
}
