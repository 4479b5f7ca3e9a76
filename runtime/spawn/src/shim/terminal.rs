//! The terminal of a container that asked for one.

use std::os::fd::OwnedFd;

/// A container's terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    pub(super) master: OwnedFd,
    /// Held while init lives, so that a container that closes and opens its terminal does not seem to end.
    pub(super) slave: Option<OwnedFd>,
}
