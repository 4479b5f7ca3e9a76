//! Containers.

pub(crate) mod attach;
pub(crate) mod capture;
pub(crate) mod commit;
pub(crate) mod create;
pub(crate) mod files;
pub(crate) mod lifecycle;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod stats;
pub(crate) mod top;
pub(crate) mod update;
pub(crate) mod wait;
