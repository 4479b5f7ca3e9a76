//! Between the API's types and the engine's: functions from one to the other, and nothing else.

pub(crate) mod capture;
pub(crate) mod container;
pub(crate) mod create;
pub(crate) mod event;
pub(crate) mod exec;
pub(crate) mod file;
pub(crate) mod flow;
pub(crate) mod host_config;
pub(crate) mod human;
pub(crate) mod image;
pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod overview;
pub(crate) mod stats;
pub(crate) mod system;
pub(crate) mod unsupported;
pub(crate) mod volume;

/// Sizes are signed in Docker's API.
pub(crate) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// An empty list is null, as Go sends a slice nobody made.
pub(crate) fn list<T>(items: Vec<T>) -> Option<Vec<T>> {
    Some(items).filter(|items| !items.is_empty())
}
