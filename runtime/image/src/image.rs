//! An image as the store describes it.

use std::path::PathBuf;

use oci_spec::image::ImageConfiguration;

use crate::config::DockerConfig;
use crate::{Digest, Error, ImageId, ImageRef};

/// An image in the store.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of its configuration.
    pub id: ImageId,
    /// Its names; none for an image whose names moved on.
    pub references: Vec<ImageRef>,
    /// Its configuration as OCI specifies it.
    pub config: ImageConfiguration,
    /// What Docker adds to that.
    pub docker: DockerConfig,
    /// The layers' digests, bottom first.
    pub diff_ids: Vec<Digest>,
    /// The layers' directories, bottom first: overlayfs wants them the other way round.
    pub layers: Vec<PathBuf>,
    /// Bytes of all files in the layers.
    pub size: u64,
    /// When it was made (RFC 3339), if it says so.
    pub created: Option<String>,
    /// The architecture in Go's names: `amd64`.
    pub architecture: String,
    /// The operating system in Go's names: `linux`.
    pub os: String,
}

/// The part of a configuration that OCI does not specify.
#[derive(Debug, Default, serde::Deserialize)]
struct Extension {
    #[serde(default)]
    config: Option<DockerConfig>,
}

impl Image {
    /// An image from its configuration, not yet related to the store: without names, directories and size.
    pub(crate) fn parse(id: ImageId, text: &[u8]) -> Result<Self, Error> {
        let what = format!("configuration of image {id}");
        let config: ImageConfiguration =
            serde_json::from_slice(text).map_err(|error| Error::json(&what, &error))?;
        let docker: Extension = serde_json::from_slice(text).map_err(|error| Error::json(&what, &error))?;
        let diff_ids = config.rootfs().diff_ids().iter().map(|diff_id| diff_id.parse());
        Ok(Self {
            id,
            references: Vec::new(),
            diff_ids: diff_ids.collect::<Result<_, _>>().map_err(|error| Error::digest(&what, &error))?,
            layers: Vec::new(),
            size: 0,
            created: config.created().clone(),
            architecture: config.architecture().to_string(),
            os: config.os().to_string(),
            docker: docker.config.unwrap_or_default(),
            config,
        })
    }
}
