//! What handlers share.

use beeline_engine::Engine;
use tokio_util::sync::CancellationToken;

/// What handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    /// Cancelled when the daemon ends: streams without an end of their own end with it.
    pub(crate) shutdown: CancellationToken,
}
