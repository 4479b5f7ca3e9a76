//! Flows: what containers have to do with whom, as it happens; and what is refused.
//!
//! The datapath tells with addresses, and here they get names. Each listener has a bounded queue: a slow one loses events,
//! which are counted, and holds up nobody. Refusals are always told, and the last ones are remembered.

mod hint;
mod pairs;
mod resolve;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use beeline_net::{DropReason, Listener, PeerScope, Phase, RefusingRule, Volume};
use jiff::Timestamp;
use tokio::sync::broadcast;

use crate::error::Error;
use crate::identity::{ContainerId, ContainerName};
use crate::shared::Shared;

pub use hint::hint;
use pairs::Pairs;
pub(crate) use pairs::pairs;
pub use pairs::{Pair, Party};

/// How many refusals are remembered.
const REMEMBERED: usize = 256;

/// How far a listener may fall behind before events are lost to it.
const BACKLOG: usize = 4096;

/// One end of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowEnd {
    /// Its address and port, as the one who began says it. The port is zero for a protocol that has none.
    pub address: SocketAddr,
    /// What the address is translated to on the way, if it is.
    pub translated: Option<SocketAddr>,
    /// The container there.
    pub container: Option<FlowContainer>,
}

/// A container at one end of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FlowContainer {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// The name of the network that the address is of.
    pub network: String,
}

/// What happened to a flow.
#[derive(Debug, Clone, PartialEq)]
pub enum FlowChange {
    /// It began, or was found to be going on when somebody began to listen.
    Began {
        /// Whether it was going on already: who began is a guess then.
        is_found: bool,
    },
    /// It is over.
    Ended {
        /// How it ended.
        phase: Phase,
        /// From its first packet to its last.
        duration: Duration,
        /// From the end that began to the other one.
        sent: Volume,
        /// The other way round.
        received: Volume,
    },
    /// A packet, or a socket's wish, was refused.
    Dropped {
        /// Why.
        reason: DropReason,
        /// The rule that refuses it.
        rule: Option<RefusingRule>,
        /// Bytes of the packet; zero for a socket's wish.
        length: u32,
    },
}

/// Something that happened to a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowEvent {
    /// When.
    pub time: Timestamp,
    /// What.
    pub change: FlowChange,
    /// The protocol's name, or its number; empty if it cannot be read.
    pub protocol: String,
    /// Who began; none if it cannot be read.
    pub source: Option<FlowEnd>,
    /// To whom.
    pub destination: Option<FlowEnd>,
    /// What the container's peer is; none of what is refused.
    pub peer: Option<PeerScope>,
}

impl FlowEvent {
    /// Both ends that are known.
    pub fn ends(&self) -> impl Iterator<Item = &FlowEnd> {
        [&self.source, &self.destination].into_iter().flatten()
    }
}

/// Where flows are told.
#[derive(Debug)]
pub(crate) struct Flows {
    all: broadcast::Sender<Arc<FlowEvent>>,
    drops: broadcast::Sender<Arc<FlowEvent>>,
    recent: Mutex<VecDeque<Arc<FlowEvent>>>,
    /// How many want to know of flows that are not refused.
    listeners: Mutex<usize>,
    /// The listener to the datapath.
    datapath: OnceLock<Listener>,
    lost: AtomicU64,
    pairs: Mutex<Pairs>,
}

impl Default for Flows {
    fn default() -> Self {
        Self {
            all: broadcast::channel(BACKLOG).0,
            drops: broadcast::channel(BACKLOG).0,
            recent: Mutex::default(),
            listeners: Mutex::default(),
            datapath: OnceLock::new(),
            lost: AtomicU64::new(0),
            pairs: Mutex::default(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to listen to the datapath.
pub(crate) fn start(shared: &Arc<Shared>) -> Result<(), Error> {
    let mut names = resolve::Names::new(Arc::downgrade(shared));
    let told_to = Arc::downgrade(shared);
    let listener = shared.net.listen(move |told| {
        if let Some(shared) = told_to.upgrade() {
            shared.flows.tell(resolve::event(&mut names, &told));
        }
    });
    let listener = listener.map_err(|error| Error::internal("listen to the datapath", &error))?;
    // There is one engine, and it begins once.
    let _ = shared.flows.datapath.set(listener);
    Ok(())
}

impl Flows {
    fn tell(&self, event: FlowEvent) {
        lock(&self.pairs).take(&event);
        let event = Arc::new(event);
        if matches!(event.change, FlowChange::Dropped { .. }) {
            // Remembered and sent under one lock: a listener sees each event once, in order.
            let mut recent = lock(&self.recent);
            if recent.len() == REMEMBERED {
                recent.pop_front();
            }
            recent.push_back(event.clone());
            let _ = self.drops.send(event.clone());
        }
        // Nobody listening is no error.
        let _ = self.all.send(event);
    }

    /// What was refused last, the oldest first.
    pub(crate) fn recent_drops(&self) -> Vec<Arc<FlowEvent>> {
        lock(&self.recent).iter().cloned().collect()
    }

    /// How many events slow listeners have lost.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Counts one more, or one less, who wants to know of flows.
    fn count(&self, more: bool) {
        let mut listeners = lock(&self.listeners);
        *listeners = if more { *listeners + 1 } else { listeners.saturating_sub(1) };
        let outcome = self.datapath.get().map_or(Ok(()), |datapath| datapath.want_flows(*listeners > 0));
        if let Err(error) = outcome {
            tracing::error!(error = crate::error::chain(&error), "the datapath does not tell of flows");
        }
    }
}

/// One listener.
pub struct FlowStream {
    shared: Arc<Shared>,
    past: VecDeque<Arc<FlowEvent>>,
    live: broadcast::Receiver<Arc<FlowEvent>>,
    wants_flows: bool,
}

impl std::fmt::Debug for FlowStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlowStream").field("wants_flows", &self.wants_flows).finish_non_exhaustive()
    }
}

impl FlowStream {
    /// All that happens from now on.
    pub(crate) fn of_all(shared: &Arc<Shared>) -> Self {
        let live = shared.flows.all.subscribe();
        shared.flows.count(true);
        Self { shared: shared.clone(), past: VecDeque::new(), live, wants_flows: true }
    }

    /// What was refused last, the oldest first, then what will be.
    pub(crate) fn of_drops(shared: &Arc<Shared>) -> Self {
        let recent = lock(&shared.flows.recent);
        let (past, live) = (recent.clone(), shared.flows.drops.subscribe());
        drop(recent);
        Self { shared: shared.clone(), past, live, wants_flows: false }
    }

    /// Counts events that the listener had to lose itself.
    pub fn lose(&self, count: u64) {
        self.shared.flows.lost.fetch_add(count, Ordering::Relaxed);
    }

    /// The next remembered event, without waiting.
    pub fn next_past(&mut self) -> Option<Arc<FlowEvent>> {
        self.past.pop_front()
    }

    /// The next event; `None` when the engine is gone. What a slow listener missed is counted.
    pub async fn next(&mut self) -> Option<Arc<FlowEvent>> {
        if let Some(event) = self.past.pop_front() {
            return Some(event);
        }
        loop {
            match self.live.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(lost)) => self.lose(lost),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl Drop for FlowStream {
    fn drop(&mut self) {
        if self.wants_flows {
            self.shared.flows.count(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(length: u32) -> FlowEvent {
        FlowEvent {
            time: Timestamp::UNIX_EPOCH,
            change: FlowChange::Dropped { reason: DropReason::Denied, rule: None, length },
            protocol: "tcp".into(),
            source: None,
            destination: None,
            peer: None,
        }
    }

    #[test]
    fn the_last_refusals_are_remembered_and_no_more() {
        let flows = Flows::default();
        for length in 0..300 {
            flows.tell(dropped(length));
        }
        let recent = lock(&flows.recent);
        assert_eq!(recent.len(), REMEMBERED);
        assert_eq!(*recent[0], dropped(44));
    }

    #[test]
    fn flows_are_not_among_the_refusals() {
        let flows = Flows::default();
        let mut drops = flows.drops.subscribe();
        let mut all = flows.all.subscribe();
        flows.tell(FlowEvent { change: FlowChange::Began { is_found: false }, ..dropped(0) });
        flows.tell(dropped(1));
        assert_eq!(*drops.try_recv().unwrap(), dropped(1));
        assert_eq!(all.len(), 2);
        assert!(matches!(all.try_recv().unwrap().change, FlowChange::Began { .. }));
    }
}
