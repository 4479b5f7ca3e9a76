//! The task that probes a container while it runs: one timer, one probe at a time.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{HealthStatus, Settings, probe};
use crate::clock::Moment;
use crate::container::handle::{Command, Handle};
use crate::container::status::ContainerState;
use crate::identity::ContainerId;
use crate::shared::Shared;

/// A container's probing. Dropping it ends it; a probe that runs is left to its timeout.
#[derive(Debug)]
pub(crate) struct Monitor(JoinHandle<()>);

impl Monitor {
    /// Begins to probe the container's run that began at `started`, if it is to be probed.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        id: &ContainerId,
        settings: Option<Settings>,
        started: Timestamp,
    ) -> Option<Self> {
        let settings = settings?;
        Some(Self(tokio::spawn(run(shared.clone(), id.clone(), settings, started))))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(shared: Arc<Shared>, id: ContainerId, settings: Settings, started: Timestamp) {
    loop {
        let Ok(handle) = shared.directory.find(id.as_str()) else { return };
        sleep(pause(&handle, &settings)).await;
        let view = handle.view();
        // One that is asked to stop, or holds still, cannot answer.
        if view.status.state != ContainerState::Running {
            continue;
        }
        let age = view.status.age(Moment::now());
        let probe = probe::run(&shared, &view, &settings).await;
        if handle.ask(|reply| Command::Probed { started, age, probe, reply }).await.is_err() {
            return;
        }
    }
}

fn pause(handle: &Handle, settings: &Settings) -> std::time::Duration {
    let view = handle.view();
    let status = view.status.health.as_ref().map_or(HealthStatus::Starting, |health| health.status);
    settings.pause(status, view.status.age(Moment::now()))
}
