//! Request bodies: JSON of bounded size, and archives of any size as a blocking reader.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::error::ApiError;

/// The largest JSON body: environments and labels fit many times over.
const LARGEST_JSON: usize = 8 << 20;
/// The largest body that is received before its request is looked at.
const SMALL: usize = 64 << 10;
/// Pieces of an archive that wait for their reader.
const CHUNKS: usize = 8;
/// How long the rest of an archive that nobody wants is received.
const DRAIN: Duration = Duration::from_secs(30);

/// A body that must be JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let text = read(body).await?;
        check_type(&parts.headers)?;
        if text.is_empty() {
            return Err(ApiError::bad_request("invalid JSON: got EOF while reading request body"));
        }
        parse(&text).map(Self)
    }
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(body, LARGEST_JSON).await.map_err(|error| {
        ApiError::bad_request(format!("read the request body (at most {LARGEST_JSON} bytes): {error}"))
    })
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(text).map_err(|error| ApiError::bad_request(format!("invalid JSON: {error}")))
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "unsupported Content-Type header ({given}): must be 'application/json'"
    )))
}

/// The body as a reader for a blocking thread. Call it within the runtime, read from outside of it. What is left
/// when the reader is dropped is received all the same: a client that is still sending would see its connection
/// break instead of the answer that says why.
pub(crate) fn blocking_reader(body: Body) -> impl Read + Send + 'static {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    tokio::spawn(async move {
        let mut chunks = body.into_data_stream();
        let receive = async {
            while let Some(chunk) = chunks.next().await {
                if sender.send(chunk.map_err(std::io::Error::other)).await.is_err() {
                    return true;
                }
            }
            false
        };
        if receive.await {
            let rest = async { while let Some(Ok(_)) = chunks.next().await {} };
            let _ = tokio::time::timeout(DRAIN, rest).await;
        }
    });
    let chunks = stream::unfold(receiver, async |mut receiver| {
        let chunk: std::io::Result<Bytes> = receiver.recv().await?;
        Some((chunk, receiver))
    });
    SyncIoBridge::new(StreamReader::new(Box::pin(chunks)))
}

/// Receives a small body whole before anything else is done, so that no handler leaves one unread.
pub(crate) async fn receive_small(request: Request<Body>) -> Result<Request<Body>, ApiError> {
    let length =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_none_or(|length| length > SMALL) {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let body = Body::from(read(body).await?);
    Ok(Request::from_parts(parts, body))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_archive_nobody_wants_is_received_to_its_end() {
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = sent.clone();
        let chunks = stream::iter(0..1000).map(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::io::Error>(Bytes::from_static(&[7; 1000]))
        });
        let mut reader = blocking_reader(Body::from_stream(chunks));
        let first = tokio::task::spawn_blocking(move || {
            let mut start = [0; 10];
            reader.read_exact(&mut start).map(|()| start)
        });
        assert_eq!(first.await.unwrap().unwrap(), [7; 10]);
        let all = async {
            while sent.load(Ordering::SeqCst) < 1000 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all).await.unwrap();
    }
}
