//! Changing the container's limits and its restart policy, also while it runs.

use std::sync::Arc;

use super::Actor;
use crate::container::config::{ContainerConfig, HostConfig};
use crate::container::status::ContainerState;
use crate::container::{plan, support, update, validate};
use crate::error::Error;

impl Actor {
    /// Gives the container what `wanted` has; answers with what is accepted but will not be done.
    pub(super) async fn update(&mut self, wanted: &HostConfig) -> Result<Vec<String>, Error> {
        if matches!(self.state(), ContainerState::Removing | ContainerState::Dead) {
            return Err(self.not_updated("container is marked for removal and cannot be \"update\""));
        }
        let before = self.record.config.clone();
        let host = update::merge(&before.host, wanted)?;
        let mut config = ContainerConfig { host, ..(*before).clone() };
        let mut warnings = validate::validate(&config, self.shared.cpus, self.shared.config.publish_address)?;
        warnings.extend(support::discard(&mut config.host, &self.shared.hierarchy.features())?);
        if self.state().is_running()
            && let Err(error) = self.apply(&config.host).await
        {
            // What could be set already is taken back; what the container had fits.
            let undone = self.apply(&before.host).await;
            if let Err(error) = undone {
                tracing::warn!(container = %self.record.id, error = error.full(), "half of an update stays");
            }
            return Err(self.not_updated(&error.full()));
        }
        self.record.config = Arc::new(config);
        if let Err(error) = self.shared.database.put(&self.record, &self.runtime).await {
            self.record.config = before;
            return Err(error);
        }
        if self.state() == ContainerState::Restarting && self.record.config.host.restart_policy.is_none() {
            self.give_up_restart().await;
        }
        self.show();
        self.event("update", []);
        Ok(warnings)
    }

    /// Writes the limits to the control groups of the running container.
    async fn apply(&self, host: &HostConfig) -> Result<(), Error> {
        let operation = || format!("set the limits of container {}", self.record.id);
        let resources = plan::resources(host).map_err(|error| Error::internal(operation(), &error))?;
        let (hierarchy, path) = (self.shared.hierarchy.clone(), self.cgroup_path());
        let done = tokio::task::spawn_blocking(move || hierarchy.cgroup(&path)?.update(&resources)).await;
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::internal(operation(), &error)),
            Err(error) => Err(Error::internal(operation(), &error)),
        }
    }

    fn not_updated(&self, reason: &str) -> Error {
        Error::Conflict(format!("Cannot update container {}: {reason}", self.record.id))
    }
}
