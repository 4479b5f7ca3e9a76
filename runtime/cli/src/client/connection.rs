//! Connecting to a daemon, and one exchange over the connection.

use std::io::{self, ErrorKind};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::{Body, Error, Result};
use crate::host::Host;

/// Sends one request over a connection of its own and waits for the response's headers.
pub(super) async fn send(host: &Host, request: Request<Body>) -> Result<Response<Incoming>> {
    let refused = |error: io::Error| match error.kind() {
        ErrorKind::PermissionDenied => Error::PermissionDenied { host: host.clone() },
        _ => Error::NotRunning { host: host.clone(), source: error },
    };
    match host {
        Host::Unix(path) => exchange(host, UnixStream::connect(path).await.map_err(refused)?, request).await,
        Host::Tcp(address) => {
            let stream = TcpStream::connect(address).await.map_err(refused)?;
            // Keystrokes of an attached terminal should not wait for each other.
            stream.set_nodelay(true).map_err(refused)?;
            exchange(host, stream, request).await
        }
    }
}

async fn exchange<S>(host: &Host, stream: S, request: Request<Body>) -> Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |source: hyper::Error| Error::Transport { host: host.clone(), source: source.into() };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends with the response's body; its error shows there.
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await.map_err(broken)
}
