//! Waiting for a container's end.

use std::sync::Arc;

use tokio::sync::watch;

use crate::container::status::ContainerState;
use crate::container::view::ContainerView;

/// What a waiter waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitCondition {
    /// The container does not run; true at once for one that never started.
    #[default]
    NotRunning,
    /// The container exits once more.
    NextExit,
    /// The container is removed.
    Removed,
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitOutcome {
    /// The container's exit code.
    pub code: i64,
    /// Why the container's removal failed, if that ended the wait.
    pub error: Option<String>,
}

/// A registered wait: whatever happens after it was made is seen.
#[derive(Debug)]
pub struct WaitHandle {
    pub(crate) views: watch::Receiver<Arc<ContainerView>>,
    pub(crate) condition: WaitCondition,
    /// How often the container had exited when the wait was registered.
    pub(crate) exits: u64,
}

impl WaitHandle {
    /// Waits until the condition holds.
    pub async fn outcome(mut self) -> WaitOutcome {
        let exits = self.exits;
        let condition = self.condition;
        let holds = |view: &Arc<ContainerView>| match condition {
            // One that its restart policy starts at once may never be seen at rest.
            WaitCondition::NotRunning => !view.status.state.is_up() || view.exits > exits,
            WaitCondition::NextExit => view.exits > exits || view.removed,
            // A removal that failed is an end, too: waiting longer would not help.
            WaitCondition::Removed => view.removed || view.status.state == ContainerState::Dead,
        };
        // The sender's end is the container's, too: its last view stays readable.
        let _ = self.views.wait_for(holds).await;
        let view = self.views.borrow();
        let dead = view.status.state == ContainerState::Dead;
        let error = dead.then(|| view.status.error.clone());
        let ended = view.exits > exits;
        WaitOutcome { code: if ended { view.last_exit } else { view.status.exit_code }, error }
    }
}
