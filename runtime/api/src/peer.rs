//! Notices that a client is gone altogether. HTTP alone cannot: a connection whose client has closed only its
//! writing half still waits for the answer, and nothing may be written for hours on an idle event stream.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::http::error::ApiError;

/// The client of a request's connection, among the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Peer(pub(crate) Arc<Watch>);

impl Peer {
    /// Waits until the client has closed both directions.
    pub(crate) async fn hung_up(&self) {
        self.0.hung_up().await;
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| ApiError::internal("a request without a connection"))
    }
}

/// A second descriptor of a connection, for watching alone.
#[derive(Debug)]
pub(crate) struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    /// Watches `socket`.
    ///
    /// # Errors
    /// Returns the system's error when no descriptor is left.
    pub(crate) fn new(socket: impl AsFd) -> std::io::Result<Self> {
        let duplicate = socket.as_fd().try_clone_to_owned()?;
        // Interest in urgent data alone: what wakes us besides is a hang-up or an error, and no half-close.
        #[allow(
            deprecated,
            reason = "its replacement is unsafe for the sake of owners that change their descriptor; an OwnedFd keeps it"
        )]
        AsyncFd::with_interest(duplicate, Interest::PRIORITY).map(Self)
    }

    /// Waits until both directions are closed.
    pub(crate) async fn hung_up(&self) {
        loop {
            match self.0.ready(Interest::PRIORITY | Interest::ERROR).await {
                Ok(mut guard) => {
                    let ready = guard.ready();
                    if ready.is_read_closed() || ready.is_write_closed() || ready.is_error() {
                        return;
                    }
                    guard.clear_ready();
                }
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_half_close_is_no_hang_up() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let watch = Watch::new(&ours).unwrap();
        theirs.write_all(b"input").await.unwrap();
        theirs.shutdown().await.unwrap();
        assert!(timeout(Duration::from_millis(50), watch.hung_up()).await.is_err());
        drop(theirs);
        timeout(Duration::from_secs(5), watch.hung_up()).await.unwrap();
    }
}
