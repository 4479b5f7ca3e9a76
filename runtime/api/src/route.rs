//! Handlers, one file a resource.

pub(crate) mod container;
pub(crate) mod event;
pub(crate) mod exec;
pub(crate) mod flow;
pub(crate) mod image;
pub(crate) mod network;
pub(crate) mod overview;
pub(crate) mod port;
pub(crate) mod swarm;
pub(crate) mod system;
pub(crate) mod unsupported;
pub(crate) mod volume;
