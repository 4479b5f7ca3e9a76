//! Who talks to whom: what flows carry, summed by the two that have them, as long as somebody asks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use beeline_net::{PeerScope, Volume};

use super::{FlowChange, FlowContainer, FlowEnd, FlowEvent, lock, resolve};
use crate::error::Error;
use crate::identity::ContainerId;
use crate::shared::Shared;

/// How long flows are noted after somebody has asked.
const LEASE: Duration = Duration::from_secs(30);

/// One that talks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Party {
    /// A container.
    Container(FlowContainer),
    /// The host itself.
    Host,
    /// Everybody outside.
    Outside,
}

/// Two that talk, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Who began.
    pub source: Party,
    /// With whom.
    pub destination: Party,
    /// How many flows they had.
    pub flows: u64,
    /// From the source to the destination.
    pub sent: Volume,
    /// The other way round.
    pub received: Volume,
}

#[derive(Debug, Clone, Copy, Default)]
struct Talk {
    flows: u64,
    sent: Volume,
    received: Volume,
}

type Talks = HashMap<(Party, Party), Talk>;

/// What the flows that are over have carried.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    until: Option<Instant>,
    over: Talks,
}

impl Pairs {
    /// Takes a flow in that is over, while somebody asks.
    pub(super) fn take(&mut self, event: &FlowEvent) {
        let FlowChange::Ended { sent, received, .. } = event.change else { return };
        if let (Some(_), Some(source), Some(destination)) = (self.until, &event.source, &event.destination) {
            add(&mut self.over, (source, destination), event.peer, (sent, received));
        }
    }

    /// Says that somebody asks; tells whether nobody did before.
    fn ask(&mut self, now: Instant) -> bool {
        self.until.replace(now + LEASE).is_none()
    }

    /// Forgets everything if nobody has asked for long; tells whether it did.
    fn end(&mut self, now: Instant) -> bool {
        let is_over = self.until.is_some_and(|until| until <= now);
        if is_over {
            *self = Self::default();
        }
        is_over
    }

    /// Forgets containers that are no more.
    fn keep(&mut self, present: &HashSet<ContainerId>) {
        let is_there = |party: &Party| match party {
            Party::Container(container) => present.contains(&container.id),
            Party::Host | Party::Outside => true,
        };
        self.over.retain(|(source, destination), _| is_there(source) && is_there(destination));
    }
}

fn add(
    talks: &mut Talks,
    (source, destination): (&FlowEnd, &FlowEnd),
    peer: Option<PeerScope>,
    (sent, received): (Volume, Volume),
) {
    let talk = talks.entry((party(source, peer), party(destination, peer))).or_default();
    talk.flows += 1;
    talk.sent += sent;
    talk.received += received;
}

fn party(end: &FlowEnd, peer: Option<PeerScope>) -> Party {
    match &end.container {
        Some(container) => Party::Container(container.clone()),
        None if peer == Some(PeerScope::Host) => Party::Host,
        None => Party::Outside,
    }
}

/// Who has talked to whom since somebody began to ask, the most talkative first.
pub(crate) fn pairs(shared: &Arc<Shared>) -> Result<Vec<Pair>, Error> {
    let is_first = lock(&shared.flows.pairs).ask(Instant::now());
    if is_first {
        note(shared);
    }
    let present = shared.net.present_flows();
    let present = present.map_err(|error| Error::internal("read who talks to whom", &error))?;
    let mut talks = {
        let mut pairs = lock(&shared.flows.pairs);
        pairs.keep(&shared.directory.views().iter().map(|view| view.id.clone()).collect());
        pairs.over.clone()
    };
    let mut names = resolve::Names::new(Arc::downgrade(shared));
    for record in &present {
        let (source, destination) = resolve::ends(&mut names, record);
        add(&mut talks, (&source, &destination), Some(record.peer), resolve::volumes(record));
    }
    Ok(sorted(talks))
}

fn sorted(talks: Talks) -> Vec<Pair> {
    let pair = |((source, destination), talk): ((Party, Party), Talk)| {
        let Talk { flows, sent, received } = talk;
        Pair { source, destination, flows, sent, received }
    };
    let mut pairs: Vec<_> = talks.into_iter().map(pair).collect();
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.sent.bytes + pair.received.bytes));
    pairs
}

/// Has flows noted until nobody has asked for long.
fn note(shared: &Arc<Shared>) {
    shared.flows.count(true);
    let shared = Arc::downgrade(shared);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LEASE).await;
            let Some(shared) = shared.upgrade() else { return };
            let is_over = lock(&shared.flows.pairs).end(Instant::now());
            if is_over {
                return shared.flows.count(false);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use beeline_net::Phase;
    use jiff::Timestamp;

    use super::*;

    fn ended(source: Option<&FlowContainer>, destination: Option<&FlowContainer>, bytes: u64) -> FlowEvent {
        let end = |container: Option<&FlowContainer>| FlowEnd {
            address: "192.0.2.2:4000".parse().unwrap(),
            translated: None,
            container: container.cloned(),
        };
        let volume = |bytes| Volume { bytes, packets: 1 };
        let change = FlowChange::Ended {
            phase: Phase::Closed,
            duration: Duration::ZERO,
            sent: volume(bytes),
            received: volume(2 * bytes),
        };
        FlowEvent {
            time: Timestamp::UNIX_EPOCH,
            change,
            protocol: "tcp".to_owned(),
            source: Some(end(source)),
            destination: Some(end(destination)),
            peer: Some(PeerScope::Published),
        }
    }

    fn container(name: &str) -> FlowContainer {
        let id = ContainerId::random().unwrap();
        FlowContainer { id, name: name.parse().unwrap(), network: "shop".to_owned() }
    }

    #[test]
    fn flows_of_the_same_two_are_one_sum_and_the_largest_is_first() {
        let (web, database) = (container("web"), container("database"));
        let mut pairs = Pairs::default();
        pairs.take(&ended(None, Some(&web), 7));
        assert!(pairs.over.is_empty(), "nobody asks");
        assert!(pairs.ask(Instant::now()) && !pairs.ask(Instant::now()));
        for bytes in [1, 10] {
            pairs.take(&ended(None, Some(&web), bytes));
        }
        pairs.take(&ended(Some(&web), Some(&database), 100));
        let sorted = sorted(pairs.over.clone());
        assert_eq!(sorted[0].source, Party::Container(web.clone()));
        let outside = &sorted[1];
        assert_eq!(
            (&outside.source, &outside.destination),
            (&Party::Outside, &Party::Container(web.clone()))
        );
        assert_eq!((outside.flows, outside.sent.bytes, outside.received.bytes), (2, 11, 22));
        pairs.keep(&HashSet::from([web.id]));
        assert_eq!(pairs.over.len(), 1, "the database is gone");
    }

    #[test]
    fn what_nobody_asks_for_any_more_is_forgotten() {
        let mut pairs = Pairs::default();
        let now = Instant::now();
        assert!(!pairs.end(now));
        pairs.ask(now);
        pairs.take(&ended(None, None, 1));
        assert!(!pairs.end(now) && !pairs.over.is_empty());
        assert!(pairs.end(now + LEASE) && pairs.over.is_empty());
        assert!(pairs.ask(now), "somebody asks anew");
    }
}
