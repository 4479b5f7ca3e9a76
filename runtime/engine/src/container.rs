//! One container: what was asked, what is, and the task that owns it.

pub(crate) mod actor;
mod capabilities;
pub(crate) mod config;
pub(crate) mod create;
mod files;
pub(crate) mod filter;
mod gateway;
pub(crate) mod handle;
pub(crate) mod health;
pub(crate) mod log;
mod merge;
pub(crate) mod mode;
pub(crate) mod mounts;
mod names;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod ports;
pub(crate) mod prepare;
pub(crate) mod record;
pub(crate) mod resolv_conf;
pub(crate) mod restart;
pub(crate) mod shim;
pub(crate) mod signal;
mod size;
pub(crate) mod status;
mod support;
mod timeline;
pub(crate) mod top;
mod update;
pub(crate) mod validate;
pub(crate) mod view;
mod volumes;

pub(crate) use plan::quota;
