//! Taking a connection over from HTTP: `101 UPGRADED`, then raw bytes both ways.

use std::future::Future;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use beeline_wire::version::ApiVersion;
use futures_util::StreamExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

use super::escape::Escape;
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
    shuttle(from_client, to_client, container, peer, input_end, None, std::future::ready(())).await;
}

/// The same for a stream that is there. The client's side is closed when `settled` is over, too; `escape` sees its input.
pub(crate) async fn join_until(
    client: OnUpgrade,
    container: UnixStream,
    peer: Peer,
    input_end: InputEnd,
    escape: Option<Escape>,
    settled: impl Future<Output = ()>,
) {
    match client.await {
        Ok(upgraded) => {
            let (from_client, to_client) = tokio::io::split(TokioIo::new(upgraded));
            shuttle(from_client, to_client, container, peer, input_end, escape, settled).await;
        }
        Err(error) => tracing::debug!(%error, "a client left before its connection was upgraded"),
    }
}

/// Sends a text over an upgraded connection, and ends it.
pub(crate) async fn tell(client: OnUpgrade, text: Body) {
    match client.await {
        Ok(upgraded) => {
            let mut client = TokioIo::new(upgraded);
            let _ = send(text, &mut client).await;
            let _ = client.shutdown().await;
        }
        Err(error) => tracing::debug!(%error, "a client left before its connection was upgraded"),
    }
}

async fn shuttle(
    from_client: impl AsyncRead + Unpin + Send + 'static,
    to_client: impl AsyncWrite + Unpin,
    container: UnixStream,
    peer: Peer,
    input_end: InputEnd,
    escape: Option<Escape>,
    settled: impl Future<Output = ()>,
) {
    let (from_container, to_container) = container.into_split();
    let input = tokio::spawn(forward(from_client, to_container, escape, std::future::ready(())));
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
        () = forward(from_container, to_client, None, settled) => abort.abort(),
        () = detached => {}
        // What the client sent before it left still reaches the container.
        () = peer.hung_up() => {}
    }
}

/// Sends a body over an upgraded connection.
pub(crate) async fn send(body: Body, to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        to.write_all(&chunk.map_err(std::io::Error::other)?).await?;
    }
    to.flush().await
}

/// Copies until the reading side ends, then closes the writing side. An end that is gone is no failure.
async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    escape: Option<Escape>,
    settled: impl Future<Output = ()>,
) {
    let copied = match escape {
        Some(escape) => copy_typed(&mut from, &mut to, &escape).await,
        None => tokio::io::copy(&mut from, &mut to).await.map(drop),
    };
    if let Err(error) = copied {
        tracing::debug!(%error, "an attached connection broke");
    }
    settled.await;
    let _ = to.shutdown().await;
}

/// Copies what is typed until the detach keys are.
async fn copy_typed(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    escape: &Escape,
) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = from.read(&mut buffer).await?;
        let (passed, more) = escape.filter(&buffer[..count]);
        to.write_all(&passed).await?;
        if count == 0 || !more {
            return Ok(());
        }
    }
}
