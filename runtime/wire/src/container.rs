//! Containers.

pub mod config;
pub mod create;
pub mod files;
pub mod host_config;
pub mod inspect;
pub mod mount;
pub mod network_settings;
pub mod summary;
pub mod top;
pub mod wait;
