//! Flows, for whoever listens.

use super::Engine;
use crate::flow::FlowStream;

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
