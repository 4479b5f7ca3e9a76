//! Volumes: making, removing and listing them.

use super::Engine;
use crate::container::filter::{Filters, label_matches, truth};
use crate::error::Error;
use crate::info::directory_size;
use crate::volume::{self, ANONYMOUS, VolumeConfig, VolumeView};

/// Volumes, by name.
impl Engine {
    /// Creates a volume, or answers with the one of that name.
    ///
    /// # Errors
    /// The name, the driver or an option is wrong.
    pub async fn create_volume(&self, config: VolumeConfig) -> Result<VolumeView, Error> {
        let volume = self.shared.volumes.create(config, None).await?;
        Ok(volume::view(&volume))
    }

    /// Removes a volume.
    ///
    /// # Errors
    /// [`crate::Kind::Conflict`] while a container has it, whether it runs or not.
    pub async fn remove_volume(&self, name: &str) -> Result<(), Error> {
        self.shared.volumes.remove_named(name).await
    }

    /// Volumes by name. Understood filters: `dangling`, `driver`, `label`, `name`.
    ///
    /// # Errors
    /// A filter is unknown.
    pub fn volumes(&self, filters: &Filters) -> Result<Vec<VolumeView>, Error> {
        let views = self.shared.volumes.all().iter().map(|one| volume::view(one)).collect();
        volume::select(views, filters)
    }

    /// A volume as it is now.
    ///
    /// # Errors
    /// There is no such volume.
    pub fn inspect_volume(&self, name: &str) -> Result<VolumeView, Error> {
        let unknown = || Error::NoSuchVolume { name: name.to_owned() };
        self.shared.volumes.get(name).map(|volume| volume::view(&volume)).ok_or_else(unknown)
    }

    /// Bytes of a volume's files.
    pub async fn volume_size(&self, view: &VolumeView) -> u64 {
        let path = view.mountpoint.clone();
        tokio::task::spawn_blocking(move || directory_size(&path)).await.unwrap_or(0)
    }

    /// Removes volumes that no container has and that match `label` filters: those that nobody gave a name, or with `all`
    /// every one. Answers with their names and the bytes that are free again.
    ///
    /// # Errors
    /// A filter is unknown.
    pub async fn prune_volumes(&self, filters: &Filters) -> Result<(Vec<String>, u64), Error> {
        if let Some(key) = filters.keys().find(|key| !matches!(key.as_str(), "label" | "label!" | "all")) {
            return Err(Error::Invalid(format!("invalid filter '{key}'")));
        }
        let values = |key: &str| filters.get(key).cloned().unwrap_or_default();
        let (labels, without) = (values("label"), values("label!"));
        let mut all = false;
        for value in values("all") {
            all |= truth(&value).ok_or_else(|| Error::Invalid(format!("invalid filter 'all={value}'")))?;
        }
        let (mut removed, mut freed) = (Vec::new(), 0);
        for view in self.volumes(&Filters::default())? {
            let has = |label: &String| label_matches(&view.labels, label);
            let wanted = view.containers == 0
                && (all || view.labels.contains_key(ANONYMOUS))
                && labels.iter().all(has)
                && !without.iter().any(has);
            if !wanted {
                continue;
            }
            let size = self.volume_size(&view).await;
            match self.shared.volumes.remove_named(&view.name).await {
                Ok(()) => {
                    freed += size;
                    removed.push(view.name);
                }
                // A container was given it meanwhile.
                Err(error) => tracing::debug!(volume = view.name, error = error.full(), "not pruned"),
            }
        }
        Ok((removed, freed))
    }
}
