//! Archives as answers: sent while they are made.

use axum::body::Body;
use axum::response::Response;
use beeline_engine::Error;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio_util::io::{ReaderStream, SyncIoBridge};

use super::error::ApiError;
use super::reply;

/// Bytes of an archive under way between its maker and the connection.
const PIPE: usize = 256 << 10;

/// Answers with the archive that `make` writes. A failure before its first byte is a failed request, a later one cuts the
/// connection.
pub(crate) async fn archive<F>(
    make: impl FnOnce(SyncIoBridge<DuplexStream>) -> F,
) -> Result<Response, ApiError>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let (writer, mut reader) = tokio::io::duplex(PIPE);
    let making = tokio::spawn(make(SyncIoBridge::new(writer)));
    let mut first = vec![0; 8 << 10];
    let got = reader.read(&mut first).await.map_err(|error| ApiError::internal(error.to_string()))?;
    if got == 0 {
        making.await.map_err(|error| ApiError::internal(error.to_string()))??;
        return Ok(reply::stream("application/x-tar", Body::empty()));
    }
    first.truncate(got);
    let ending = stream::once(async move {
        match making.await {
            Ok(Ok(())) => Ok(Bytes::new()),
            Ok(Err(error)) => Err(std::io::Error::other(error.full())),
            Err(error) => Err(std::io::Error::other(error)),
        }
    });
    let first = stream::once(std::future::ready(Ok(Bytes::from(first))));
    let body = first.chain(ReaderStream::with_capacity(reader, 64 << 10)).chain(ending);
    Ok(reply::stream("application/x-tar", Body::from_stream(body)))
}
