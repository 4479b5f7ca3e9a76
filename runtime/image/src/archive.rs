//! Archives of images: `docker save`'s layouts, old and new, and OCI's.

mod load;
mod oci;
mod save;
mod spool;

pub use load::{LoadEvent, LoadedImage};
