//! Pausing: the kernel's freezer stops every process of the container where it is.

use super::Actor;
use crate::container::status::ContainerState;
use crate::error::Error;

impl Actor {
    /// Freezes the container.
    pub(super) async fn pause(&mut self) -> Result<(), Error> {
        let id = &self.record.id;
        match self.state() {
            ContainerState::Running => {}
            ContainerState::Paused => {
                return Err(Error::Conflict(format!("Container {id} is already paused")));
            }
            ContainerState::Restarting => {
                return Err(Error::Conflict(format!(
                    "Container {id} is restarting, wait until the container is running"
                )));
            }
            ContainerState::Stopping => {
                return Err(Error::Conflict(format!("container {id} is being stopped")));
            }
            _ => return Err(Error::Conflict(format!("container {id} is not running"))),
        }
        self.freeze(true).await?;
        self.runtime.status.state = ContainerState::Paused;
        self.store().await;
        self.show();
        self.event("pause", []);
        Ok(())
    }

    /// Lets the container go on.
    pub(super) async fn unpause(&mut self) -> Result<(), Error> {
        if self.state() != ContainerState::Paused {
            return Err(Error::Conflict(format!("Container {} is not paused", self.record.id)));
        }
        self.thaw().await?;
        self.store().await;
        Ok(())
    }

    /// Lets a paused container go on, so that it can act upon a signal.
    pub(super) async fn thaw(&mut self) -> Result<(), Error> {
        if self.state() == ContainerState::Paused {
            self.freeze(false).await?;
            self.set_state(ContainerState::Running);
            self.event("unpause", []);
        }
        Ok(())
    }

    async fn freeze(&self, frozen: bool) -> Result<(), Error> {
        let operation = format!("{} container {}", if frozen { "pause" } else { "unpause" }, self.record.id);
        let (hierarchy, path) = (self.shared.hierarchy.clone(), self.cgroup_path());
        // It may take a while until every process has come to a point where it can be stopped.
        let done = tokio::task::spawn_blocking(move || hierarchy.cgroup(&path)?.freeze(frozen)).await;
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::internal(operation, &error)),
            Err(error) => Err(Error::internal(operation, &error)),
        }
    }

    /// Whether the kernel has the container's processes stopped.
    pub(super) fn is_frozen(&self) -> bool {
        let group = self.shared.hierarchy.cgroup(&self.cgroup_path());
        group.is_ok_and(|group| group.is_frozen())
    }

    pub(crate) fn cgroup_path(&self) -> String {
        self.shared.cgroup_path(&self.record.id, &self.record.config)
    }
}
