//! `GET /system/df`.

use serde::{Deserialize, Serialize};

use crate::container::summary::ContainerSummary;
use crate::image::ImageSummary;
use crate::volume::Volume;

/// What takes space. A null kind was not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DiskUsage {
    /// All layers together, each counted once.
    pub layers_size: i64,
    pub images: Option<Vec<ImageSummary>>,
    pub containers: Option<Vec<ContainerSummary>>,
    pub volumes: Option<Vec<Volume>>,
    pub build_cache: Option<Vec<serde_json::Value>>,
}
