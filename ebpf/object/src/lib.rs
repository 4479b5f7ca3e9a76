//! Builds the BPF object, and tells whether the prebuilt one is of the present sources.
//!
//! Invariant: an object is embedded only if it was made from the sources beside it. `ebpf/prebuilt/MANIFEST` records
//! the digest of the sources (with the flags they are built with) and of the object; the build script of `net` and
//! `cargo xtask bpf` share this crate, so both mean the same.

#![forbid(unsafe_code)]

mod build;
mod digest;
mod error;
mod manifest;
mod prebuilt;
mod strip;
mod toolchain;
mod verified;

pub use build::build;
pub use digest::{INPUTS, file_digest, sources_digest};
pub use error::Error;
pub use manifest::Manifest;
pub use prebuilt::{Check, Embedded, MANIFEST_PATH, OBJECT_PATH, check_prebuilt, embedded, write_prebuilt};
pub use toolchain::Toolchain;
pub use verified::{Counts, Series, VERIFIED_PATH, Verified};
