//! A container's volumes before it exists and when it is gone: from its creation to its removal they are kept for it.

use std::path::PathBuf;
use std::sync::Arc;

use beeline_image::files::Root;
use beeline_spawn::fault::Point;
use beeline_spawn::view::{self, Overlay};

use crate::container::mounts::{MountKind, UserMount};
use crate::error::Error;
use crate::identity::ContainerId;
use crate::shared::Shared;
use crate::volume::{Volume, VolumeConfig};

/// How often a volume is made that others remove at the same time.
const ATTEMPTS: usize = 8;

/// Makes the volumes that a container lacks, keeps all of them for it, and fills empty ones from its image, whose `layers`
/// are given bottom first. Volumes without a name get one in `mounts`.
///
/// # Errors
/// A volume cannot be made or filled; then nothing is left.
pub(crate) async fn prepare(
    shared: &Shared,
    id: &ContainerId,
    layers: &[PathBuf],
    mounts: &mut [UserMount],
) -> Result<(), Error> {
    let prepared = async {
        for mount in &mut *mounts {
            if let MountKind::Volume { name, wish, .. } = &mut mount.kind {
                *name = acquire(shared, id, wish).await?;
            }
        }
        populate(shared, layers, mounts).await
    };
    if let Err(error) = prepared.await {
        release(shared, id, mounts, true).await;
        return Err(error);
    }
    Ok(())
}

/// The container is stored: its volumes are there to stay.
pub(crate) async fn confirm(shared: &Shared, mounts: &[UserMount]) {
    for name in mounts.iter().filter_map(anonymous) {
        if let Err(error) = shared.volumes.mark(name, None).await {
            // The next daemon knows the container, and keeps the volume for it.
            tracing::warn!(volume = name, error = error.full(), "the volume is not confirmed");
        }
    }
}

/// The container is gone. With `remove`, its volumes without a name go as well, unless others have them.
pub(crate) async fn release(shared: &Shared, id: &ContainerId, mounts: &[UserMount], remove: bool) {
    for name in mounts.iter().filter_map(UserMount::volume) {
        shared.volumes.release(name, id);
    }
    for name in mounts.iter().filter_map(anonymous).filter(|name| remove && !name.is_empty()) {
        match shared.volumes.remove_named(name).await {
            Ok(()) | Err(Error::Conflict(_) | Error::NoSuchVolume { .. }) => {}
            Err(error) => tracing::error!(volume = name, error = error.full(), "the volume is not removed"),
        }
    }
}

/// The name of a volume that nobody gave one.
pub(crate) fn anonymous(mount: &UserMount) -> Option<&str> {
    match &mount.kind {
        MountKind::Volume { name, anonymous: true, .. } => Some(name),
        _ => None,
    }
}

/// Makes a volume unless it exists, and keeps it for the container. The answer is its name.
async fn acquire(shared: &Shared, id: &ContainerId, wish: &VolumeConfig) -> Result<String, Error> {
    for _ in 0..ATTEMPTS {
        // One without a name is the container's alone until that is stored.
        crate::error::fault(Point::CreateVolume)?;
        let pending = wish.name.is_empty().then(|| id.clone());
        let volume = shared.volumes.create(wish.clone(), pending).await?;
        if shared.volumes.acquire(&volume.record.name, id) {
            return Ok(volume.record.name.clone());
        }
    }
    Err(Error::Conflict(format!("the volume {} is being removed", wish.name)))
}

async fn populate(shared: &Shared, layers: &[PathBuf], mounts: &[UserMount]) -> Result<(), Error> {
    let mut empty: Vec<(Arc<Volume>, PathBuf)> = Vec::new();
    for mount in mounts {
        if let MountKind::Volume { name, copy: true, .. } = &mount.kind
            && let Some(volume) = shared.volumes.get(name)
            && volume.may_be_empty()
        {
            empty.push((volume, mount.destination.clone()));
        }
    }
    if empty.is_empty() {
        return Ok(());
    }
    crate::error::fault(Point::CreateFill)?;
    let lower: Vec<PathBuf> = layers.iter().rev().cloned().collect();
    let overlay = Overlay { lower, upper: None, read_only: true };
    let mounted = tokio::task::spawn_blocking(move || view::stopped(&overlay, Vec::new())).await;
    let failed = |error: &(dyn std::error::Error + 'static)| Error::internal("mount the image", error);
    let image =
        Arc::new(Root::new(mounted.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?));
    for (volume, destination) in empty {
        volume.populate(image.clone(), destination).await?;
    }
    Ok(())
}
