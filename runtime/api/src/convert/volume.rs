//! Volumes.

use beeline_engine::{VolumeConfig, VolumeView};
use beeline_wire::volume::{Volume, VolumeCreateRequest, VolumeUsage};

use super::signed;

pub(crate) fn config(request: VolumeCreateRequest) -> VolumeConfig {
    VolumeConfig {
        name: request.name,
        driver: request.driver,
        options: request.driver_opts,
        labels: request.labels,
    }
}

pub(crate) fn volume(view: &VolumeView) -> Volume {
    // Docker sends null for what nobody gave.
    let given = |map: &std::collections::BTreeMap<_, _>| Some(map.clone()).filter(|map| !map.is_empty());
    Volume {
        created_at: view.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        driver: "local".to_owned(),
        labels: given(&view.labels),
        mountpoint: view.mountpoint.display().to_string(),
        name: view.name.clone(),
        options: given(&view.options),
        scope: "local".to_owned(),
        usage_data: None,
    }
}

/// The same with what it takes.
pub(crate) fn used(view: &VolumeView, size: u64) -> Volume {
    let ref_count = i64::try_from(view.containers).unwrap_or(i64::MAX);
    Volume { usage_data: Some(VolumeUsage { ref_count, size: signed(size) }), ..volume(view) }
}
