//! HTTP as Docker's API uses it: errors, parameters, bodies, versions, upgrades.

pub(crate) mod archive;
pub(crate) mod body;
pub(crate) mod detached;
pub(crate) mod error;
pub(crate) mod escape;
pub(crate) mod hijack;
pub(crate) mod negotiate;
pub(crate) mod params;
pub(crate) mod reply;
