//! Images as the engine's users see them.

use std::sync::Arc;

use jiff::Timestamp;

/// An image at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageView {
    /// The id, `sha256:…`.
    pub id: String,
    /// Names with tags in familiar form, as `busybox:latest`.
    pub references: Vec<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Bytes of all layers.
    pub size: u64,
    /// The operating system it is for.
    pub os: String,
    /// The architecture it is for, in Go's words.
    pub architecture: String,
    /// Its configuration, history and layers' digests.
    pub config: Arc<oci_spec::image::ImageConfiguration>,
    /// How many containers use it.
    pub containers: usize,
}

/// A file system to import as an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportImage {
    /// The name it gets, without or with a tag.
    pub reference: Option<String>,
    /// A comment for the history.
    pub message: Option<String>,
    /// Dockerfile instructions that set the configuration.
    pub changes: Vec<String>,
    /// The platform it is for, as `linux/amd64`; this machine's if not given.
    pub platform: Option<String>,
}

/// Progress of loading an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageLoad {
    /// An image is loaded.
    Loaded {
        /// Its name, or its id if it has none.
        image: String,
        /// Whether that is a name.
        named: bool,
    },
    /// Something worth telling: a name has moved from another image.
    Note(String),
}

/// One step of an image's removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovedImage {
    /// A name no longer refers to it.
    Untagged(String),
    /// An image, `sha256:…`, is gone.
    Deleted(String),
}
