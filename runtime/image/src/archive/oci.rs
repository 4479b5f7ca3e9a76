//! The parts of OCI's index, manifest and descriptor that archives of images need.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::config::Platform;

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// An image's full name, as containerd and Docker write it.
pub(super) const IMAGE_NAME: &str = "io.containerd.image.name";
/// An image's tag, or its full name: tools differ.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Marks manifests that describe an image (provenance, signatures) and are none.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// Points to a blob of the archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<DescriptorPlatform>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DescriptorPlatform {
    pub(super) architecture: String,
    pub(super) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) variant: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    pub(super) schema_version: u32,
    #[serde(default)]
    pub(super) media_type: String,
    #[serde(default)]
    pub(super) manifests: Vec<Descriptor>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

impl Descriptor {
    pub(super) fn is_index(&self) -> bool {
        matches!(self.media_type.as_str(), INDEX | DOCKER_INDEX)
    }

    /// Whether this may be the manifest of an image that can run.
    pub(super) fn is_image(&self) -> bool {
        matches!(self.media_type.as_str(), "" | MANIFEST | DOCKER_MANIFEST)
            && !self.annotations.contains_key(REFERENCE_TYPE)
            && self.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
    }

    pub(super) fn is_config(&self) -> bool {
        matches!(self.media_type.as_str(), "" | CONFIG | DOCKER_CONFIG)
    }

    /// The name that the image goes by, if the archive gives a full one: a bare tag names nothing.
    pub(super) fn name(&self) -> Option<&str> {
        let name = self.annotations.get(IMAGE_NAME).or_else(|| self.annotations.get(REF_NAME))?;
        (name.contains('/') || name.contains(':')).then_some(name)
    }

    fn runs_on(&self, host: &Platform) -> bool {
        self.platform
            .as_ref()
            .is_none_or(|platform| platform.os == host.os && platform.architecture == host.architecture)
    }
}

/// The manifest for this machine among `candidates`: the only one, or that of its platform. The error lists the
/// platforms there are.
pub(super) fn choose<'a>(candidates: &[&'a Descriptor], host: &Platform) -> Result<&'a Descriptor, String> {
    if let [only] = candidates {
        return Ok(only);
    }
    candidates.iter().copied().find(|candidate| candidate.runs_on(host)).ok_or_else(|| {
        let platforms: Vec<String> = candidates
            .iter()
            .filter_map(|candidate| candidate.platform.as_ref())
            .map(|platform| format!("{}/{}", platform.os, platform.architecture))
            .collect();
        format!("it has no image for {}/{}, only for: {}", host.os, host.architecture, platforms.join(", "))
    })
}
