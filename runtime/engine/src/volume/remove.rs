//! Removing a volume: refused while a container has it. It is renamed first, so that a daemon that dies in between leaves
//! no half of it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::set::Volumes;
use crate::error::Error;
use crate::identity::ContainerId;
use crate::shared::Shared;

/// Takes a volume out of the set, and its files aside.
pub(super) async fn take(shared: &Shared, name: &str) -> Result<PathBuf, Error> {
    let volume = shared.volumes.get(name).ok_or_else(|| Error::NoSuchVolume { name: name.to_owned() })?;
    volume.close().map_err(|users| {
        let users: Vec<&str> = users.iter().map(ContainerId::as_str).collect();
        Error::Conflict(format!("remove {name}: volume is in use - [{}]", users.join(", ")))
    })?;
    let aside = shared.volumes.directory().join(format!(".{name}"));
    let taken = async {
        // What nobody uses is not mounted, unless taking it off failed.
        volume.settle().await?;
        let (from, to) = (shared.volumes.directory().join(name), aside.clone());
        let renamed = tokio::task::spawn_blocking(move || rename(&from, &to)).await;
        renamed.map_err(|error| Error::internal("remove a volume", &error))??;
        shared.database.remove_volume(name).await
    };
    if let Err(error) = taken.await {
        volume.reopen();
        return Err(error);
    }
    shared.volumes.remove(name);
    shared.volume_event("destroy", &volume, BTreeMap::new());
    Ok(aside)
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    // The files of an earlier volume of that name may still be going.
    delete(to)?;
    match std::fs::rename(from, to) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(Error::File { operation: "rename", path: from.to_owned(), source })
        }
        _ => Ok(()),
    }
}

pub(super) fn delete(path: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(Error::File { operation: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

impl Volumes {
    /// Removes a volume that no container has.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`]; [`Error::Conflict`] if a container has it.
    pub(crate) async fn remove_named(&self, name: &str) -> Result<(), Error> {
        let files = self.take(name).await?;
        let deleted = tokio::task::spawn_blocking(move || delete(&files)).await;
        deleted.map_err(|error| Error::internal("remove a volume's files", &error))?
    }
}
