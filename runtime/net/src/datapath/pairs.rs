//! Who has flows with whom.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    os::fd::{AsFd as _, BorrowedFd},
};

use beeline_abi::{Address, Flow, FlowKind, Tuple};

use super::{Datapath, Error, endpoints::addresses, state::State, syscall, tables::failed};

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PairEnd {
    /// An endpoint, by its address.
    Endpoint(IpAddr),
    /// The host itself.
    Host,
    /// Anybody else.
    Outside,
}

/// Two that have flows, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowPair {
    /// Who began.
    pub from: PairEnd,
    /// With whom.
    pub to: PairEnd,
    /// The IP protocol.
    pub protocol: u8,
    /// The port that is asked for, a container's behind a published one.
    pub port: u16,
}

/// Whom an address is.
struct Ends {
    endpoints: HashSet<Address>,
    host: HashSet<Address>,
}

impl Ends {
    fn end(&self, address: Address) -> PairEnd {
        if self.endpoints.contains(&address) {
            PairEnd::Endpoint(address.into())
        } else if self.host.contains(&address) {
            PairEnd::Host
        } else {
            PairEnd::Outside
        }
    }

    /// The pair of an entry under its inside tuple; none of a stub.
    fn pair(&self, tuple: &Tuple, flow: &Flow) -> Option<FlowPair> {
        let local = self.end(tuple.local);
        let kinds = [FlowKind::Published, FlowKind::Masqueraded, FlowKind::Hairpin, FlowKind::Loopback];
        let (from, to, port) = match kinds.into_iter().find(|kind| *kind as u8 == flow.kind)? {
            FlowKind::Masqueraded => (local, self.end(tuple.remote), tuple.remote_port),
            // The gateway may stand in for the client inside.
            FlowKind::Hairpin => (self.end(flow.counterpart.remote), local, tuple.local_port),
            FlowKind::Loopback => (PairEnd::Host, local, tuple.local_port),
            FlowKind::Published | FlowKind::Stub => (self.end(tuple.remote), local, tuple.local_port),
        };
        Some(FlowPair { from, to, protocol: tuple.protocol, port })
    }
}

impl State {
    fn ends(&self) -> Result<Ends, Error> {
        let host: Result<_, _> = self.tables.addresses.keys().collect();
        Ok(Ends {
            endpoints: self.devices.values().flat_map(addresses).collect(),
            host: host.map_err(failed("read", "ADDRESSES"))?,
        })
    }
}

impl Datapath {
    /// How many flows there are of each pair: those that are tracked, also for a while after their end.
    ///
    /// # Errors
    /// [`Error::Flows`], [`Error::Map`].
    pub fn flow_pairs(&self) -> Result<BTreeMap<FlowPair, u64>, Error> {
        let ends = self.state().ends()?;
        count(self.flows.as_fd(), &ends)
    }
}

fn count(flows: BorrowedFd<'_>, ends: &Ends) -> Result<BTreeMap<FlowPair, u64>, Error> {
    let mut counts = BTreeMap::new();
    syscall::for_each_in_batches::<Tuple, Flow>(flows, |tuple, flow| {
        if let Some(pair) = ends.pair(tuple, flow) {
            *counts.entry(pair).or_default() += 1;
        }
    })
    .map_err(|source| Error::Flows { operation: "read", source })?;
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use beeline_abi::ip;

    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    fn pair(kind: FlowKind, remote: &str, client: &str) -> Option<FlowPair> {
        let ends = Ends {
            endpoints: ["10.0.0.2", "10.0.0.3"].map(address).into(),
            host: ["10.0.0.1", "192.0.2.1"].map(address).into(),
        };
        let tuple = Tuple {
            local: address("10.0.0.2"),
            remote: address(remote),
            local_port: 80,
            remote_port: 443,
            protocol: ip::TCP,
            ..Tuple::default()
        };
        let counterpart = Tuple { remote: address(client), ..Tuple::default() };
        ends.pair(&tuple, &Flow { counterpart, kind: kind as u8, ..Flow::default() })
    }

    #[test]
    fn who_began_depends_on_the_kind_of_the_flow() {
        let web = PairEnd::Endpoint("10.0.0.2".parse().unwrap());
        let other = PairEnd::Endpoint("10.0.0.3".parse().unwrap());
        let expected = |from, to, port| Some(FlowPair { from, to, protocol: ip::TCP, port });
        let outside = "198.51.100.7";
        assert_eq!(pair(FlowKind::Published, outside, outside), expected(PairEnd::Outside, web, 80));
        assert_eq!(pair(FlowKind::Published, "192.0.2.1", "192.0.2.1"), expected(PairEnd::Host, web, 80));
        assert_eq!(pair(FlowKind::Masqueraded, outside, outside), expected(web, PairEnd::Outside, 443));
        assert_eq!(pair(FlowKind::Hairpin, "10.0.0.1", "10.0.0.3"), expected(other, web, 80));
        assert_eq!(pair(FlowKind::Loopback, "10.0.0.1", "192.0.2.1"), expected(PairEnd::Host, web, 80));
        assert_eq!(pair(FlowKind::Stub, outside, outside), None);
    }
}
