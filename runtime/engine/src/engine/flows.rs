//! Flows, for whoever listens.

use std::sync::Arc;

use super::Engine;
use crate::error::Error;
use crate::flow::{self, FlowEvent, FlowStream, Pair};

impl Engine {
    /// What containers have to do with whom from now on, and what is refused.
    #[must_use]
    pub fn flows(&self) -> FlowStream {
        FlowStream::of_all(&self.shared)
    }

    /// What was refused last, and what will be.
    #[must_use]
    pub fn drops(&self) -> FlowStream {
        FlowStream::of_drops(&self.shared)
    }

    /// What was refused last, the oldest first.
    #[must_use]
    pub fn recent_drops(&self) -> Vec<Arc<FlowEvent>> {
        self.shared.flows.recent_drops()
    }

    /// Who has talked to whom since somebody began to ask, the most talkative first. Conversations are noted for half a
    /// minute from each call on; the first one finds none.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn pairs(&self) -> Result<Vec<Pair>, Error> {
        flow::pairs(&self.shared)
    }

    /// What could not be told: what it is, why, and how much.
    pub(super) fn event_losses(&self) -> Vec<(&'static str, &'static str, u64)> {
        let losses = self.shared.net.event_losses().unwrap_or_default().into_iter();
        let mut losses: Vec<_> = losses
            .map(|(loss, count)| {
                let (what, reason) = loss.names();
                (what, reason, count)
            })
            .collect();
        losses.push(("any", "listener", self.shared.flows.lost()));
        losses
    }
}
