//! The end of a daemon: containers go on. When none runs, nothing of the instance stays in the kernel.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Engine;
use crate::container::status::ContainerState;
use crate::error::{Error, chain};

/// How long a restart that is under way is waited for, in steps.
const STARTS: u32 = 500;
const STEP: Duration = Duration::from_millis(20);

impl Engine {
    /// Ends the engine in good order. Running containers are left to the next daemon; without any, devices, programs,
    /// pins and control groups of the instance are removed.
    ///
    /// # Errors
    /// Everything that could not be removed.
    pub async fn shutdown(&self) -> Result<(), Error> {
        let shared = &self.shared;
        shared.closing.store(true, Ordering::Release);
        self.await_starts().await;
        shared.net.settle().await;
        let running = shared.directory.views().iter().filter(|view| view.status.state.is_running()).count();
        let pid_file = shared.config.run.join("daemon.pid");
        if running > 0 {
            tracing::info!(running, "containers keep running");
            return Ok(());
        }
        let mut failures = Vec::new();
        failures.extend(shared.net.destroy().await.err().map(|error| chain(&error)));
        let (hierarchy, path) = (shared.hierarchy.clone(), format!("/beeline/{}", shared.instance));
        let groups = tokio::task::spawn_blocking(move || {
            let group = hierarchy.cgroup(&path)?;
            group.remove()?;
            group.remove_empty_parents();
            Ok::<_, beeline_spawn::cgroup::Error>(())
        });
        match groups.await {
            Ok(removed) => failures.extend(removed.err().map(|error| chain(&error))),
            Err(error) => failures.push(chain(&error)),
        }
        // The lock is on the open file, not on its name; a daemon that waits for it makes a new one.
        let _ = std::fs::remove_file(pid_file);
        let _ = std::fs::remove_dir(shared.config.run.join("containers"));
        if failures.is_empty() {
            return Ok(());
        }
        Err(Error::Internal {
            operation: format!("remove what instance {} has in the kernel", shared.instance),
            message: failures.join("; "),
        })
    }

    /// Waits until no container is being started: what is made for it must not be taken away beneath it.
    async fn await_starts(&self) {
        for _ in 0..STARTS {
            let starting = |state| state == ContainerState::Starting;
            if !self.shared.directory.views().iter().any(|view| starting(view.status.state)) {
                return;
            }
            tokio::time::sleep(STEP).await;
        }
    }
}
