//! Accepting connections and serving them until the daemon ends.

use std::convert::Infallible;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use beeline_engine::Engine;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::http::negotiate;
use crate::listener::{Listener, Socket};
use crate::peer::{Peer, Watch};
use crate::router;

/// How long connections may take to finish their requests at shutdown.
const GRACE: Duration = Duration::from_secs(3);
/// How long accepting pauses when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client may take to send a request's head, and keep an idle connection: as in Docker.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);

/// Serves the API on every listener until `shutdown` is cancelled. Then no connection is accepted, streams end,
/// and running requests have three seconds to finish. Containers are not touched.
pub async fn serve(listeners: Vec<Listener>, engine: Engine, shutdown: CancellationToken) {
    let router = router::engine_router(App { engine, shutdown: shutdown.clone() });
    serve_router(listeners, router, shutdown).await;
}

pub(crate) async fn serve_router(listeners: Vec<Listener>, router: Router, shutdown: CancellationToken) {
    let connections = TaskTracker::new();
    let accepting = TaskTracker::new();
    for listener in listeners {
        accepting.spawn(accept(Arc::new(listener), router.clone(), shutdown.clone(), connections.clone()));
    }
    accepting.close();
    accepting.wait().await;
    connections.close();
    if tokio::time::timeout(GRACE, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests are cut off at shutdown");
    }
}

async fn accept(listener: Arc<Listener>, router: Router, shutdown: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = accept_one(&listener, &router, &shutdown, &tasks) => accepted,
        };
        if let Err(error) = accepted {
            // Out of descriptors, or a client that left early: the next one may do better.
            tracing::warn!(%error, address = %listener.address(), "accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

async fn accept_one(
    listener: &Listener,
    router: &Router,
    shutdown: &CancellationToken,
    tasks: &TaskTracker,
) -> std::io::Result<()> {
    match &listener.socket {
        Socket::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            let watch = Watch::new(&stream)?;
            tasks.spawn(connection(stream, watch, router.clone(), shutdown.clone()));
        }
        Socket::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            keep_alive(&stream)?;
            let watch = Watch::new(&stream)?;
            tasks.spawn(connection(stream, watch, router.clone(), shutdown.clone()));
        }
    }
    Ok(())
}

/// Probes idle connections, so that a client that vanished is noticed within two minutes.
fn keep_alive(stream: &impl AsFd) -> std::io::Result<()> {
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &60)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &20)?;
    setsockopt(stream, sockopt::TcpKeepCount, &3)?;
    Ok(())
}

/// Serves one connection for as long as its client is there.
async fn connection<S>(stream: S, watch: Watch, router: Router, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = Peer(Arc::new(watch));
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let router = router.clone();
        async move { Ok::<_, Infallible>(negotiate::respond(router, request.map(Body::new)).await) }
    });
    let connection = http1::Builder::new()
        .half_close(true)
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        // Dropping the connection drops the request's handler: streams and waits end with their client.
        () = peer.hung_up() => return,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;
    use crate::http::hijack::{self, InputEnd};
    use crate::listener::HostAddr;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn start(directory: &Path, router: Router) -> (UnixStream, CancellationToken, JoinHandle<()>) {
        let path = directory.join("b.sock");
        let listener = Listener::bind(&HostAddr::Unix(path.clone())).await.unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve_router(vec![listener], router, shutdown.clone()));
        (UnixStream::connect(path).await.unwrap(), shutdown, serving)
    }

    async fn read_head(client: &mut UnixStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, client.read_u8()).await.unwrap().unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// An upgraded connection to a "container" that answers with all of its input, at its input's end.
    async fn echo(peer: Peer, mut request: axum::extract::Request) -> axum::response::Response {
        let client = hijack::upgrade(&mut request).unwrap();
        let (ours, mut container) = UnixStream::pair().unwrap();
        tokio::spawn(async move {
            let mut input = Vec::new();
            container.read_to_end(&mut input).await.unwrap();
            container.write_all(&input).await.unwrap();
        });
        tokio::spawn(hijack::join(client, Body::from("past "), Some(ours), peer, InputEnd::Closes));
        hijack::switching(hijack::RAW)
    }

    #[tokio::test]
    async fn a_half_closed_attachment_still_gets_its_output() {
        let directory = tempfile::tempdir().unwrap();
        let router = Router::new().route("/attach", post(echo));
        let (mut client, shutdown, serving) = start(directory.path(), router).await;
        let head = "POST /attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        let answer = read_head(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.contains("Content-Type: application/vnd.docker.raw-stream"));
        client.write_all(b"input").await.unwrap();
        client.shutdown().await.unwrap();
        let mut output = String::new();
        timeout(PATIENCE, client.read_to_string(&mut output)).await.unwrap().unwrap();
        assert_eq!(output, "past input");
        shutdown.cancel();
        timeout(PATIENCE, serving).await.unwrap().unwrap();
        assert!(!directory.path().join("b.sock").exists());
    }

    /// A "container" whose input others share: it goes on when this client's ends.
    async fn shared(peer: Peer, mut request: axum::extract::Request) -> axum::response::Response {
        let client = hijack::upgrade(&mut request).unwrap();
        let (ours, container) = UnixStream::pair().unwrap();
        tokio::spawn(async move {
            let _goes_on = container;
            std::future::pending::<()>().await;
        });
        tokio::spawn(hijack::join(client, Body::empty(), Some(ours), peer, InputEnd::Detaches));
        hijack::switching(hijack::MULTIPLEXED)
    }

    #[tokio::test]
    async fn a_client_whose_input_ends_is_detached_from_shared_input() {
        let directory = tempfile::tempdir().unwrap();
        let router = Router::new().route("/attach", post(shared));
        let (mut client, _shutdown, _serving) = start(directory.path(), router).await;
        let head = "POST /attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        read_head(&mut client).await;
        client.shutdown().await.unwrap();
        let mut output = Vec::new();
        timeout(PATIENCE, client.read_to_end(&mut output)).await.unwrap().unwrap();
        assert!(output.is_empty());
    }

    /// Tells the test when it is dropped.
    struct Dropped(Option<oneshot::Sender<()>>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.take().map(|sender| sender.send(()));
        }
    }

    #[tokio::test]
    async fn an_idle_stream_ends_with_its_client() {
        let directory = tempfile::tempdir().unwrap();
        let (sender, dropped) = oneshot::channel();
        let sender = Arc::new(std::sync::Mutex::new(Some(sender)));
        let idle = move || async move {
            let guard = Dropped(sender.lock().unwrap().take());
            let endless = futures_util::stream::once(async move {
                let _guard = guard;
                std::future::pending::<Result<bytes::Bytes, Infallible>>().await
            });
            Body::from_stream(endless)
        };
        let (mut client, shutdown, serving) =
            start(directory.path(), Router::new().route("/idle", get(idle))).await;
        client.write_all(b"GET /idle HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        // The head arrives though the body never does: docker run waits for it before it starts a container.
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200 "));
        drop(client);
        timeout(PATIENCE, dropped).await.unwrap().unwrap();
        shutdown.cancel();
        timeout(PATIENCE, serving).await.unwrap().unwrap();
    }
}
