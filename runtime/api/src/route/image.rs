//! Images.

pub(crate) mod archive;
pub(crate) mod change;
pub(crate) mod list;
pub(crate) mod named;
