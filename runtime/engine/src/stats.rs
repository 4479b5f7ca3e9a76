//! Figures of single containers for those who watch them.
//!
//! One sampler a container, whoever watches: it begins with the first reader and ends with the last.

mod overview;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beeline_metrics::{HostCpu, InterfaceCounters, Sample};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::container::handle::Handle;
use crate::container::view::ContainerView;
use crate::engine::Engine;
use crate::error::Error;
use crate::identity::{ContainerId, ContainerName};
use crate::shared::Shared;

pub use overview::Overview;

/// How often a container that is watched is sampled: as Docker does.
const INTERVAL: Duration = Duration::from_secs(1);

/// A container's figures now and at the sample before.
#[derive(Debug, Clone)]
pub struct Stats {
    /// The container.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// What it has used; none unless it runs.
    pub now: Option<Usage>,
    /// What it had used at the sample before; none in the first sample after a start.
    pub before: Option<Usage>,
}

/// What a container had used at one moment.
#[derive(Debug, Clone)]
pub struct Usage {
    /// When it was read.
    pub time: Timestamp,
    /// The kernel's accounts of its control groups.
    pub sample: Sample,
    /// What the host's processors did.
    pub host: HostCpu,
    /// The host's memory in bytes.
    pub host_memory: u64,
    /// The interfaces that the container sees.
    pub interfaces: Vec<InterfaceCounters>,
}

type Sender = watch::Sender<Option<Arc<Stats>>>;

/// The samplers that run.
#[derive(Debug, Default)]
pub(crate) struct Samplers(Mutex<HashMap<ContainerId, Arc<Sender>>>);

impl Samplers {
    /// Ends the container's sampler, unless somebody reads it.
    fn end(&self, id: &ContainerId, sender: &Sender) -> bool {
        let mut samplers = self.lock();
        let unread = sender.receiver_count() == 0;
        if unread {
            samplers.remove(id);
        }
        unread
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ContainerId, Arc<Sender>>> {
        // No code that can panic runs while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader's view of a sampler.
#[derive(Debug)]
pub struct StatsStream(watch::Receiver<Option<Arc<Stats>>>);

impl StatsStream {
    /// The next sample that this reader has not seen; one that is late misses some. None when the container is removed.
    pub async fn next(&mut self) -> Option<Arc<Stats>> {
        loop {
            self.0.changed().await.ok()?;
            if let Some(stats) = self.0.borrow_and_update().clone() {
                return Some(stats);
            }
        }
    }
}

impl Engine {
    /// Watches a container, also one that does not run: a sample a second.
    ///
    /// # Errors
    /// There is no such container.
    pub fn stats(&self, reference: &str) -> Result<StatsStream, Error> {
        let shared = self.shared();
        let handle = shared.directory.find(reference)?;
        let mut samplers = shared.samplers.lock();
        if let Some(sender) = samplers.get(&handle.id) {
            let mut receiver = sender.subscribe();
            receiver.mark_changed();
            return Ok(StatsStream(receiver));
        }
        let (sender, receiver) = watch::channel(None);
        let sender = Arc::new(sender);
        samplers.insert(handle.id.clone(), sender.clone());
        tokio::spawn(run(shared.clone(), handle, sender));
        Ok(StatsStream(receiver))
    }

    /// One sample of a container, at once and without one before it.
    ///
    /// # Errors
    /// There is no such container.
    pub async fn stats_now(&self, reference: &str) -> Result<Stats, Error> {
        let shared = self.shared();
        let view = shared.directory.find(reference)?.view();
        let now = measure(shared, &view).await;
        Ok(Stats { id: view.id.clone(), name: view.name.clone(), now, before: None })
    }
}

/// Samples a container until nobody reads, or it is removed.
async fn run(shared: Arc<Shared>, handle: Handle, sender: Arc<Sender>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    // Two samples right after each other would say nothing about the time between them.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = sender.closed() => {}
        }
        if shared.samplers.end(&handle.id, &sender) {
            return;
        }
        let view = handle.view();
        if view.removed {
            // The readers' streams end with the sender.
            shared.samplers.lock().remove(&handle.id);
            return;
        }
        let now = measure(&shared, &view).await;
        let stats = Stats { id: view.id.clone(), name: view.name.clone(), now: now.clone(), before };
        sender.send_replace(Some(Arc::new(stats)));
        before = now;
    }
}

/// Reads what a container has used: some twenty small files.
async fn measure(shared: &Arc<Shared>, view: &Arc<ContainerView>) -> Option<Usage> {
    if !view.status.state.is_running() {
        return None;
    }
    let (shared, view) = (shared.clone(), view.clone());
    let read = move || {
        Some(Usage {
            sample: Sample::read(&shared.cgroup_dirs(&view)?),
            host: HostCpu::read(),
            host_memory: crate::info::memory(),
            interfaces: shared.visible_interfaces(&view),
            time: Timestamp::now(),
        })
    };
    tokio::task::spawn_blocking(read).await.ok().flatten()
}
