//! Operations that go on when the client who asked for them leaves.

use std::future::Future;

use super::error::ApiError;

/// Runs `operation` to its end even if this future is dropped: a client that disconnects half way through a
/// creation or a stop must not leave the container half way.
pub(crate) async fn detached<T, E>(
    operation: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    match tokio::spawn(operation).await {
        Ok(result) => result.map_err(Into::into),
        Err(failure) => Err(ApiError::internal(format!("the operation was abandoned: {failure}"))),
    }
}
