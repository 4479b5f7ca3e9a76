//! The end of a daemon: containers go on. When none runs, nothing of the instance stays in the kernel.

use super::Engine;
use crate::error::{Error, chain};

impl Engine {
    /// Ends the engine in good order. Running containers are left to the next daemon; without any, devices, programs,
    /// pins and control groups of the instance are removed.
    ///
    /// # Errors
    /// Everything that could not be removed.
    pub async fn shutdown(&self) -> Result<(), Error> {
        let shared = &self.shared;
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
}
