//! Taking a connection over from HTTP: `101 UPGRADED`, then raw bytes both ways.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use beeline_wire::version::ApiVersion;
use futures_util::StreamExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::peer::Peer;

pub(crate) const RAW: &str = "application/vnd.docker.raw-stream";
pub(crate) const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

/// How output of a container is declared: frames are called by their name since 1.42 only.
pub(crate) fn content_type(version: ApiVersion, tty: bool) -> &'static str {
    if !tty && version.since(42) { MULTIPLEXED } else { RAW }
}

/// Whether the client asked to take the connection over.
pub(crate) fn upgrade(request: &mut Request) -> Option<OnUpgrade> {
    let asks = |name, word: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    let wanted = asks(CONNECTION, "upgrade") && asks(UPGRADE, "tcp");
    wanted.then(|| request.extensions_mut().remove::<OnUpgrade>()).flatten()
}

/// The answer after which the connection is the container's.
pub(crate) fn switching(content_type: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
    response
}

/// What the end of a client's input does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputEnd {
    /// It ends the container's input; the output goes on.
    Closes,
    /// The container's input stays open for others, and the client is detached.
    Detaches,
}

/// Joins an upgraded connection and a container's stream until the output ends or the client is gone. The
/// end of the output closes the client's side. `past` is sent before the container's output.
pub(crate) async fn join(
    client: OnUpgrade,
    past: Body,
    container: Option<UnixStream>,
    peer: Peer,
    input_end: InputEnd,
) {
    let client = match client.await {
        Ok(upgraded) => TokioIo::new(upgraded),
        Err(error) => {
            tracing::debug!(%error, "a client left before its connection was upgraded");
            return;
        }
    };
    let (from_client, mut to_client) = tokio::io::split(client);
    if send(past, &mut to_client).await.is_err() {
        return;
    }
    let Some(container) = container else {
        let _ = to_client.shutdown().await;
        return;
    };
    let (from_container, to_container) = container.into_split();
    let input = tokio::spawn(forward(from_client, to_container));
    let abort = input.abort_handle();
    let detached = async {
        match input_end {
            InputEnd::Closes => std::future::pending().await,
            InputEnd::Detaches => drop(input.await),
        }
    };
    tokio::select! {
        // Output that is there is sent before the client is let go.
        biased;
        () = forward(from_container, to_client) => abort.abort(),
        () = detached => {}
        // What the client sent before it left still reaches the container.
        () = peer.hung_up() => {}
    }
}

async fn send(body: Body, to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        to.write_all(&chunk.map_err(std::io::Error::other)?).await?;
    }
    to.flush().await
}

/// Copies until the reading side ends, then closes the writing side. An end that is gone is no failure.
async fn forward(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    if let Err(error) = tokio::io::copy(&mut from, &mut to).await {
        tracing::debug!(%error, "an attached connection broke");
    }
    let _ = to.shutdown().await;
}
