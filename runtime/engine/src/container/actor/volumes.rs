//! The container's volumes: mounted while it runs, and left when it is removed.

use std::collections::BTreeMap;

use beeline_spawn::fault::Point;

use super::Actor;
use crate::container::mounts::UserMount;
use crate::container::volumes::{anonymous, release};
use crate::error::{Error, fault};
use crate::volume::VolumeConfig;

impl Actor {
    /// Mounts its volumes before a start. One that is gone is made again, empty.
    pub(super) async fn mount_volumes(&self) -> Result<(), Error> {
        let id = &self.record.id;
        for mount in self.record.mounts().iter() {
            let Some(name) = mount.volume() else { continue };
            let volume = match self.shared.volumes.get(name) {
                Some(volume) => volume,
                None => {
                    let config = VolumeConfig { name: name.to_owned(), ..VolumeConfig::default() };
                    let volume = self.shared.volumes.create(config, None).await?;
                    self.shared.volumes.acquire(name, id);
                    volume
                }
            };
            if volume.mount(id).await? {
                let attributes = BTreeMap::from([
                    ("container".to_owned(), id.to_string()),
                    ("destination".to_owned(), mount.destination.display().to_string()),
                    ("read/write".to_owned(), mount.writable.to_string()),
                    ("propagation".to_owned(), String::new()),
                ]);
                self.shared.volume_event("mount", &volume, attributes);
            }
        }
        Ok(())
    }

    /// Takes its volumes off after a run. The answer is what failed.
    pub(super) async fn unmount_volumes(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for name in self.record.mounts().iter().filter_map(UserMount::volume) {
            let Some(volume) = self.shared.volumes.get(name) else { continue };
            match volume.unmount(&self.record.id).await {
                Ok(true) => {
                    let attributes = BTreeMap::from([("container".to_owned(), self.record.id.to_string())]);
                    self.shared.volume_event("unmount", &volume, attributes);
                }
                Ok(false) => {}
                Err(error) => failures.push(error.full()),
            }
        }
        failures
    }

    /// After a restart of the daemon: the running container goes on using its volumes.
    pub(crate) async fn keep_volumes(&self) {
        for name in self.record.mounts().iter().filter_map(UserMount::volume) {
            let Some(volume) = self.shared.volumes.get(name) else { continue };
            if let Err(error) = volume.mount(&self.record.id).await {
                tracing::error!(container = %self.record.id, volume = name, error = error.full(), "the volume is not mounted");
            }
        }
    }

    /// Before the container is forgotten: its volumes without a name go with it, also should this daemon die in between.
    pub(super) async fn mark_volumes(&self, remove: bool) {
        for mount in self.record.mounts().iter().filter(|_| remove) {
            let alone = |name: &str| {
                let volume = self.shared.volumes.get(name);
                volume.is_some_and(|volume| volume.users().iter().all(|user| *user == self.record.id))
            };
            let Some(name) = anonymous(mount).filter(|name| alone(name)) else { continue };
            let marked = match fault(Point::RemoveMark) {
                Ok(()) => self.shared.volumes.mark(name, Some(self.record.id.clone())).await,
                Err(error) => Err(error),
            };
            if let Err(error) = marked {
                tracing::warn!(volume = name, error = error.full(), "the volume is not marked");
            }
        }
    }

    /// After the container is forgotten.
    pub(super) async fn release_volumes(&self, remove: bool) {
        release(&self.shared, &self.record.id, &self.record.mounts(), remove).await;
    }
}
