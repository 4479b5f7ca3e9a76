//! After a restart: volumes that were half made are finished or removed, and nothing stays mounted that nobody uses.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::set::Volumes;
use super::{VolumeRecord, check_name, copy, mount, remove};
use crate::database::Opened;
use crate::error::Error;
use crate::identity::ContainerId;
use crate::shared::Shared;

/// Enters the stored volumes, for an engine that knows these `containers`.
///
/// # Errors
/// The volumes' directory or the database cannot be used.
pub(crate) fn reconcile(volumes: &Volumes, opened: &Opened, containers: &[ContainerId]) -> Result<(), Error> {
    for record in opened.volumes()? {
        let directory = volumes.directory().join(&record.name);
        let orphan = record.pending.as_ref().is_some_and(|container| !containers.contains(container));
        if orphan || !directory.join("_data").is_dir() {
            tracing::info!(volume = record.name, "removed what an earlier daemon left of a volume");
            report(
                &directory,
                mount::detach(&directory.join("_data")).and_then(|()| remove::delete(&directory)),
            );
            opened.remove_volume(&record.name)?;
            continue;
        }
        report(&directory, copy::recover(&directory));
        let record = VolumeRecord { pending: None, ..record };
        opened.put_volume(&record)?;
        volumes.insert(record)?;
    }
    for directory in entries(volumes.directory()) {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            report(&directory, remove::delete(&directory));
        } else if volumes.get(&name).is_none() && check_name(&name).is_ok() {
            unknown(volumes, opened, &directory, name)?;
        }
    }
    Ok(())
}

/// A directory without a record. An empty one is of a volume that was being made; one with files lost its record with the
/// power, and is worth more than the record.
fn unknown(volumes: &Volumes, opened: &Opened, directory: &Path, name: String) -> Result<(), Error> {
    report(directory, copy::recover(directory));
    let data = directory.join("_data");
    if entries(&data).is_empty() {
        let _ = fs::remove_dir(&data);
        report(
            directory,
            fs::remove_dir(directory).map_err(|source| Error::File {
                operation: "remove",
                path: directory.to_owned(),
                source,
            }),
        );
        return Ok(());
    }
    tracing::warn!(volume = name, "a volume without its record is taken over");
    let record = VolumeRecord {
        name,
        created: Timestamp::now(),
        options: Default::default(),
        labels: Default::default(),
        pending: None,
    };
    opened.put_volume(&record)?;
    volumes.insert(record).map(drop)
}

/// Takes off what no container that runs uses. Those that run have said so by then.
pub(crate) async fn settle(shared: &Shared) {
    for volume in shared.volumes.all() {
        if let Err(error) = volume.settle().await {
            tracing::warn!(volume = volume.record.name, error = error.full(), "the volume stays mounted");
        }
    }
}

fn report(directory: &Path, done: Result<(), Error>) {
    if let Err(error) = done {
        tracing::error!(directory = %directory.display(), error = error.full(), "the volume is not in order");
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
