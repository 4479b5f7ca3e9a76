//! Image store: import, load, layers by digest.
//!
//! ```text
//! ROOT/image/images.json         names: the commit point, replaced atomically
//!           /blobs/sha256/HEX    configurations; an image's id is its configuration's digest
//!           /layers/SHORT/diff   a layer for overlayfs, extracted once
//!           /layers/SHORT/...    what is needed to write the layer's archive again, byte for byte
//!           /tmp                 what is not finished; emptied when the store is opened
//! ```
//!
//! Everything is written under a temporary name, verified and then renamed: a crash leaves the store as it was. A layer
//! that a loss of power may have damaged is checked against its digest before it is used again.

#![forbid(unsafe_code)]

mod archive;
mod changes;
mod commit;
mod compression;
mod config;
mod digest;
mod error;
pub mod files;
mod image;
mod import;
mod layer;
mod records;
mod reference;
mod store;

pub use archive::{LoadEvent, LoadedImage};
pub use changes::InvalidChange;
pub use commit::CommitOptions;
pub use config::{DockerConfig, Healthcheck};
pub use digest::{Digest, ImageId, InvalidDigest};
pub use error::{Error, ErrorKind};
pub use image::Image;
pub use import::ImportOptions;
pub use reference::{ImageRef, InvalidReference};
pub use store::{Removed, Store};
