//! The container's files for whoever copies them: those it sees while it runs, its overlay while it does not.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use beeline_image::files::{OwnerRange, Owners, Root};
use beeline_spawn::container::Identities;
use beeline_spawn::view::{self, Below, Overlay};

use oci_spec::runtime::LinuxIdMapping;

use super::Actor;
use crate::container::mounts::{MountKind, UserMount};
use crate::container::prepare::make_dir;
use crate::container::record::paths;
use crate::container::status::ContainerState;
use crate::error::Error;
use crate::files::ContainerFiles;
use crate::volume::data_dir;

/// How long a start waits for those who copy files.
const COPY_LIMIT: Duration = Duration::from_secs(10);

impl Actor {
    /// Opens the container's files: with all that is mounted, or `alone`.
    pub(super) async fn open_files(&mut self, alone: bool) -> Result<ContainerFiles, Error> {
        let failed = |error: &(dyn std::error::Error + 'static)| {
            Error::internal(format!("open the files of container {}", self.record.id), error)
        };
        if matches!(self.state(), ContainerState::Removing | ContainerState::Dead) {
            return Err(Error::Conflict(
                "container is marked for removal and its files cannot be used".into(),
            ));
        }
        let lock = self.files.clone().try_read_owned();
        let lock = lock.map_err(|error| failed(&error))?;
        let opened = if self.state().is_running() {
            let (pid, group) = (self.runtime.status.pid, self.record.id.to_string());
            tokio::task::spawn_blocking(move || {
                let root = if alone { view::running_alone(pid, &group) } else { view::running(pid, &group) };
                Ok((root?, view::identities(pid, &group)?))
            })
            .await
        } else {
            let below = if alone { Vec::new() } else { self.below().await? };
            let overlay = self.overlay()?;
            // On the disk, the owners are those that the container sees.
            let mounted =
                tokio::task::spawn_blocking(move || Ok((view::stopped(&overlay, below)?, None))).await;
            // The copy of their mounts keeps them.
            self.unmount_volumes().await;
            mounted
        };
        let opened: io::Result<(OwnedFd, Option<Identities>)> = opened.map_err(|error| failed(&error))?;
        let (root, identities) = opened.map_err(|error| failed(&error))?;
        Ok(ContainerFiles {
            acting_as: identities.as_ref().map(Identities::root),
            root: Arc::new(Root::with_owners(root, identities.as_ref().map(owners).unwrap_or_default())),
            view: self.view.borrow().clone(),
            _lock: Arc::new(lock),
        })
    }

    /// Waits until nobody uses the container's files: it is about to mount them itself.
    pub(super) async fn wait_for_files(&self) -> Result<(), Error> {
        match tokio::time::timeout(COPY_LIMIT, self.files.write()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Conflict(format!(
                "container {} cannot be started while its files are copied: try again when that is done",
                self.record.id.short()
            ))),
        }
    }

    fn overlay(&self) -> Result<Overlay, Error> {
        let image = self.shared.images.resolve(&self.record.image_id)?;
        let paths = paths(&self.shared.config.root, &self.record, Vec::new());
        make_dir(&paths.upper, 0o755)?;
        make_dir(&paths.work, 0o700)?;
        Ok(Overlay {
            lower: image.layers.iter().rev().cloned().collect(),
            upper: Some((paths.upper, paths.work)),
            read_only: self.record.config.host.readonly_rootfs,
        })
    }

    /// What is mounted in the container when it runs and still there when it does not.
    async fn below(&self) -> Result<Vec<Below>, Error> {
        for name in self.record.mounts().iter().filter_map(UserMount::volume) {
            if let Some(volume) = self.shared.volumes.get(name) {
                volume.mount(&self.record.id).await?;
            }
        }
        let below = |mount: &UserMount| {
            let (source, subpath) = match &mount.kind {
                MountKind::Bind { source, .. } => (source.clone(), Default::default()),
                MountKind::Volume { name, subpath, .. } => {
                    (data_dir(self.shared.volumes.directory(), name), subpath.clone())
                }
                MountKind::Tmpfs(_) => return None,
            };
            // A bind mount's source may come into being with the start only.
            source.exists().then(|| Below {
                source,
                subpath,
                destination: mount.destination.clone(),
                read_only: !mount.writable,
            })
        };
        Ok(self.record.mounts().iter().filter_map(below).collect())
    }
}

/// How archives name the owners of files in a user namespace.
fn owners(identities: &Identities) -> Owners {
    let range = |range: &LinuxIdMapping| OwnerRange {
        inside: range.container_id(),
        outside: range.host_id(),
        size: range.size(),
    };
    Owners {
        users: identities.users.iter().map(range).collect(),
        groups: identities.groups.iter().map(range).collect(),
    }
}
