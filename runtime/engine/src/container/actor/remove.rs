//! Removing a container.

use beeline_spawn::fault::{self, Point};
use nix::libc::SIGKILL;

use super::undo::remove_dir;
use super::{Actor, KILL_LIMIT};
use crate::container::status::ContainerState;
use crate::error::Error;

impl Actor {
    /// Removes the container; a running one only by force. When this succeeds, the task ends.
    pub(super) async fn remove(&mut self, force: bool) -> Result<(), Error> {
        let state = self.state();
        if state.is_up() && !force {
            let what = match state {
                ContainerState::Paused => "paused and must be unpaused first".to_owned(),
                state => {
                    format!("{}: stop the container before removing or force remove", state.as_str())
                }
            };
            return Err(Error::Conflict(format!(
                "cannot remove container \"/{}\": container is {what}",
                self.record.name
            )));
        }
        if state == ContainerState::Restarting {
            self.give_up_restart().await;
        }
        if state.is_running() {
            self.end_by_force().await?;
            self.answer_stop();
        }
        self.remove_stopped().await
    }

    /// Kills the container and waits for its end.
    async fn end_by_force(&mut self) -> Result<(), Error> {
        self.remember_stop().await;
        self.signal(SIGKILL).await?;
        self.event("kill", [("signal", SIGKILL.to_string())]);
        self.thaw().await?;
        let Some(link) = &mut self.link else { return Ok(()) };
        let Ok(exit) = tokio::time::timeout(KILL_LIMIT, link.exited()).await else {
            return Err(Error::Internal {
                operation: format!("remove container {}", self.record.id),
                message: "its init does not end: it may wait for a device or a network file system".into(),
            });
        };
        self.finish(exit).await;
        Ok(())
    }

    /// Removes the container, which does not run.
    pub(super) async fn remove_stopped(&mut self) -> Result<(), Error> {
        self.set_state(ContainerState::Removing);
        // What an earlier attempt could not take back.
        self.undo().await;
        let with_volumes = self.with_volumes || self.record.config.host.auto_remove;
        self.mark_volumes(with_volumes).await;
        let removed = self.forget().await;
        if let Err(error) = removed {
            tracing::error!(container = %self.record.id, error = error.full(), "cannot remove the container");
            self.runtime.status.error = error.full();
            self.set_state(ContainerState::Dead);
            self.store().await;
            return Err(error);
        }
        for id in std::mem::take(&mut self.runtime.connections).into_keys() {
            if let Some(bridge) =
                self.shared.networks.get(&id).as_ref().and_then(|network| network.as_bridge())
            {
                bridge.release(&self.record.id);
            }
        }
        fault::pass(Point::RemoveVolumes);
        self.release_volumes(with_volumes).await;
        fault::pass(Point::RemoveDone);
        self.waiting.clear();
        self.shared.execs.forget_container(&self.record.id);
        self.event("destroy", []);
        self.shared.directory.remove(&self.record.id);
        let view = super::view_of(&self.shared, &self.record, &self.runtime, &self.layers, self.exits, true);
        self.replace_view(view);
        Ok(())
    }

    /// Removes the files, then the record: a crash in between leaves a record whose removal can be repeated.
    async fn forget(&self) -> Result<(), Error> {
        let directory =
            crate::container::record::containers_dir(&self.shared.config.root).join(self.record.id.as_str());
        crate::error::fault(Point::RemoveFiles)?;
        let removed = tokio::task::spawn_blocking(move || remove_dir(&directory)).await;
        removed.map_err(|error| Error::internal("remove the container's files", &error))??;
        crate::error::fault(Point::RemoveRecord)?;
        self.shared.database.remove(&self.record.id).await
    }

    /// After a start that failed: a container that was to go at its end goes now. True if it is gone.
    pub(super) async fn remove_failed_start(&mut self) -> bool {
        let failed = !self.state().is_running() && !self.runtime.status.error.is_empty();
        failed && self.record.config.host.auto_remove && self.remove_stopped().await.is_ok()
    }
}
