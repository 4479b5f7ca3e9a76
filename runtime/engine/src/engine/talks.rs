//! Who talks to whom, and what is refused: for those who look on.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use beeline_net::{DropReason, PairEnd};

use super::Engine;
use crate::error::Error;
use crate::flow::hint;
use crate::identity::ContainerName;

/// One who talks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Talker {
    /// A container.
    Container(ContainerName),
    /// The host itself.
    Host,
    /// Anybody else.
    Outside,
}

/// Two that have connections, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Talk {
    /// Who began.
    pub from: Talker,
    /// With whom.
    pub to: Talker,
    /// `tcp`, `udp`, `sctp`, `icmp`, or a number.
    pub protocol: String,
    /// The port that is asked for, the container's behind a published one; zero for a protocol without ports.
    pub port: u16,
    /// Connections and flows that are tracked: those that go on, and those that ended a moment ago.
    pub connections: u64,
}

/// Packets that were refused for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The reason's name, as metrics label it.
    pub reason: &'static str,
    /// What it means, and what to do about it.
    pub hint: &'static str,
    /// How many there were.
    pub packets: u64,
}

impl Engine {
    /// Who talks to whom by way of a translation, the busiest first. Reads the table of connections: meant for a thread that
    /// may block.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn talks(&self) -> Result<Vec<Talk>, Error> {
        let pairs = self.shared.net.flow_pairs();
        let pairs = pairs.map_err(|error| Error::internal("read the table of connections", &error))?;
        let names = self.names_by_address();
        // Of one that is gone since nothing is told.
        let talker = |end| match end {
            PairEnd::Endpoint(address) => names.get(&address).cloned().map(Talker::Container),
            PairEnd::Host => Some(Talker::Host),
            PairEnd::Outside => Some(Talker::Outside),
        };
        // A container with several addresses is one.
        let mut counts: BTreeMap<_, u64> = BTreeMap::new();
        for (pair, connections) in pairs {
            if let (Some(from), Some(to)) = (talker(pair.from), talker(pair.to)) {
                *counts.entry((from, to, pair.protocol, pair.port)).or_default() += connections;
            }
        }
        let talk = |((from, to, number, port), connections)| {
            let protocol = protocol(number);
            Talk { from, to, port: if protocol == "icmp" { 0 } else { port }, protocol, connections }
        };
        let mut talks: Vec<_> = counts.into_iter().map(talk).collect();
        talks.sort_by_key(|talk| std::cmp::Reverse(talk.connections));
        Ok(talks)
    }

    /// How many packets were refused, by reason.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn refused(&self) -> Result<Vec<Refused>, Error> {
        let drops = self.shared.net.drops();
        let drops = drops.map_err(|error| Error::internal("read the counters of drops", &error))?;
        let refused = |(reason, packets): (DropReason, u64)| Refused {
            reason: reason.name(),
            hint: hint(reason),
            packets,
        };
        Ok(drops.into_iter().map(refused).collect())
    }

    fn names_by_address(&self) -> HashMap<IpAddr, ContainerName> {
        let views = self.shared.directory.views();
        let named = views.iter().flat_map(|view| {
            view.endpoints
                .iter()
                .flat_map(move |end| end.addresses().map(move |address| (address, view.name.clone())))
        });
        named.collect()
    }
}

fn protocol(number: u8) -> String {
    match number {
        1 | 58 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        132 => "sctp".to_owned(),
        other => other.to_string(),
    }
}
