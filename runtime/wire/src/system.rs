//! The daemon itself.

pub mod disk_usage;
pub mod info;
pub mod version;
