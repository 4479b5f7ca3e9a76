//! What all containers use, for one who watches them all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Interval, MissedTickBehavior, timeout};

use super::{INTERVAL, StatsStream, Usage};
use crate::container::view::ContainerView;
use crate::engine::Engine;
use crate::identity::ContainerId;

/// How long the next sample of a container is waited for; then the last one is told once more.
const PATIENCE: Duration = Duration::from_millis(500);

/// All containers, second by second. Each has the sampler that those have who watch it alone.
pub struct Overview {
    engine: Engine,
    readers: HashMap<ContainerId, StatsStream>,
    ticks: Interval,
}

impl Engine {
    /// Watches all containers, those to come included.
    #[must_use]
    pub fn overview(&self) -> Overview {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Overview { engine: self.clone(), readers: HashMap::new(), ticks }
    }
}

impl Overview {
    /// The containers at the next moment, and what those that run have used.
    pub async fn next(&mut self) -> Vec<(Arc<ContainerView>, Option<Usage>)> {
        self.ticks.tick().await;
        let views = self.engine.shared().directory.views();
        let mut before = std::mem::take(&mut self.readers);
        for view in views.iter().filter(|view| view.status.state.is_running()) {
            // One that was removed this very moment has no sampler any more.
            let reader = before.remove(&view.id).or_else(|| self.engine.stats(view.id.as_str()).ok());
            self.readers.extend(reader.map(|reader| (view.id.clone(), reader)));
        }
        // The samplers' ticks may come a moment after ours.
        join_all(self.readers.values_mut().map(|reader| timeout(PATIENCE, reader.0.changed()))).await;
        let usage = |view: &ContainerView| self.readers.get(&view.id)?.latest();
        views.into_iter().map(|view| (view.clone(), usage(&view))).collect()
    }
}

impl StatsStream {
    /// What its container had used at the last sample.
    fn latest(&self) -> Option<Usage> {
        self.0.borrow().as_ref()?.now.clone()
    }
}
