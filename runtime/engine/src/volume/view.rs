//! A volume as readers see it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;

use super::set::Volume;

/// A volume at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeView {
    /// The name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// What containers see, on the host.
    pub mountpoint: PathBuf,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// How many containers have it.
    pub containers: usize,
}

pub(crate) fn view(volume: &Volume) -> VolumeView {
    let record = &volume.record;
    VolumeView {
        name: record.name.clone(),
        created: record.created,
        mountpoint: volume.data.clone(),
        options: record.options.clone(),
        labels: record.labels.clone(),
        containers: volume.users().len(),
    }
}
