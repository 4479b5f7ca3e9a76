//! Names for the addresses of flows.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Weak;
use std::time::{Duration, Instant};

use beeline_net::{Direction, FlowRecord, Phase, Refusal, Told, TrafficClass, Volume};
use jiff::Timestamp;

use super::{FlowChange, FlowContainer, FlowEnd, FlowEvent};
use crate::shared::Shared;

/// How old the index of addresses may get. It is made anew for a batch of events, not for each.
const FRESH: Duration = Duration::from_millis(250);

/// How old it may get where an address is not in it: its container may just have begun.
const FRESH_ENOUGH_TO_DENY: Duration = Duration::from_millis(20);

/// How long a container that is gone is remembered: its last events come late.
const MEMORY: Duration = Duration::from_secs(5);

/// Containers by their addresses.
pub(super) struct Names {
    shared: Weak<Shared>,
    present: HashMap<IpAddr, FlowContainer>,
    past: HashMap<IpAddr, (FlowContainer, Instant)>,
    read: Option<Instant>,
}

impl Names {
    pub(super) fn new(shared: Weak<Shared>) -> Self {
        Self { shared, present: HashMap::new(), past: HashMap::new(), read: None }
    }

    fn find(&mut self, address: IpAddr) -> Option<FlowContainer> {
        let bound = if self.present.contains_key(&address) { FRESH } else { FRESH_ENOUGH_TO_DENY };
        if self.read.is_none_or(|read| read.elapsed() > bound) {
            self.refresh();
        }
        let present = self.present.get(&address);
        present.or_else(|| self.past.get(&address).map(|(container, _)| container)).cloned()
    }

    fn refresh(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut present = HashMap::new();
        for view in shared.directory.views() {
            for endpoint in &view.endpoints {
                for address in endpoint.addresses() {
                    let container = FlowContainer {
                        id: view.id.clone(),
                        name: view.name.clone(),
                        network: endpoint.network.clone(),
                    };
                    present.insert(address, container);
                }
            }
        }
        self.take(present, Instant::now());
    }

    /// Those who are there now; who was and is not is remembered for a while.
    fn take(&mut self, present: HashMap<IpAddr, FlowContainer>, now: Instant) {
        self.past.retain(|_, (_, gone)| now.duration_since(*gone) < MEMORY);
        for (address, container) in std::mem::replace(&mut self.present, present) {
            if self.present.get(&address) != Some(&container) {
                self.past.insert(address, (container, now));
            }
        }
        self.read = Some(now);
    }

    /// One end: what it is called before its translation, and what after it.
    fn end(&mut self, before: SocketAddr, after: SocketAddr) -> FlowEnd {
        FlowEnd {
            address: before,
            translated: (before != after).then_some(after),
            container: self.find(before.ip()).or_else(|| self.find(after.ip())),
        }
    }
}

/// What is told, with names.
pub(super) fn event(names: &mut Names, told: &Told) -> FlowEvent {
    match told {
        Told::Flow(record) => flow(names, record),
        Told::Refused(refusal) => refused(names, refusal),
    }
}

/// Source and destination.
pub(super) fn ends(names: &mut Names, record: &FlowRecord) -> (FlowEnd, FlowEnd) {
    let (inside, wire) = (record.inside, record.wire);
    match record.direction {
        Direction::Out => (names.end(inside.local, wire.local), names.end(inside.remote, wire.remote)),
        Direction::In => (names.end(wire.remote, inside.remote), names.end(wire.local, inside.local)),
    }
}

/// What went from source to destination, and back.
pub(super) fn volumes(record: &FlowRecord) -> (Volume, Volume) {
    match record.direction {
        Direction::Out => (record.sent, record.received),
        Direction::In => (record.received, record.sent),
    }
}

fn flow(names: &mut Names, record: &FlowRecord) -> FlowEvent {
    let (source, destination) = ends(names, record);
    let (sent, received) = volumes(record);
    let change = match record.phase {
        Phase::Began | Phase::Found => FlowChange::Began { is_found: record.phase == Phase::Found },
        phase => FlowChange::Ended { phase, duration: record.duration, sent, received },
    };
    FlowEvent {
        time: Timestamp::try_from(record.time).unwrap_or_default(),
        change,
        protocol: protocol(record.protocol),
        source: Some(source),
        destination: Some(destination),
        peer: Some(record.peer),
    }
}

fn refused(names: &mut Names, refusal: &Refusal) -> FlowEvent {
    let Refusal { reason, rule, length, .. } = *refusal;
    FlowEvent {
        time: Timestamp::try_from(refusal.time).unwrap_or_default(),
        change: FlowChange::Dropped { reason, rule, length },
        protocol: refusal.protocol.map(protocol).unwrap_or_default(),
        source: refusal.source.map(|address| names.end(address, address)),
        destination: refusal.destination.map(|address| names.end(address, address)),
        peer: None,
    }
}

fn protocol(number: u8) -> String {
    match TrafficClass::of(number) {
        TrafficClass::Other => number.to_string(),
        class => class.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ContainerId;

    fn container(name: &str) -> FlowContainer {
        FlowContainer {
            id: ContainerId::random().unwrap(),
            name: name.parse().unwrap(),
            network: "shop".to_owned(),
        }
    }

    #[test]
    fn a_container_that_is_gone_has_its_name_for_a_while() {
        let mut names = Names::new(Weak::new());
        let (first, second) = (IpAddr::from([172, 17, 0, 2]), IpAddr::from([172, 17, 0, 3]));
        let (web, database) = (container("web"), container("database"));
        let now = Instant::now();
        names.take(HashMap::from([(first, web.clone()), (second, database.clone())]), now);
        // Two that go one after the other.
        names.take(HashMap::from([(second, database.clone())]), now);
        names.take(HashMap::new(), now + Duration::from_secs(1));
        assert_eq!((names.find(first), names.find(second)), (Some(web), Some(database)));
        names.take(HashMap::new(), now + MEMORY);
        assert_eq!((names.find(first), names.find(second).is_some()), (None, true));
    }

    #[test]
    fn an_address_that_another_container_has_now_is_that_ones() {
        let mut names = Names::new(Weak::new());
        let address = IpAddr::from([172, 17, 0, 2]);
        let (old, new) = (container("old"), container("new"));
        names.take(HashMap::from([(address, old)]), Instant::now());
        names.take(HashMap::from([(address, new.clone())]), Instant::now());
        assert_eq!(names.find(address), Some(new));
    }
}
