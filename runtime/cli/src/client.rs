//! The daemon's API over HTTP/1.1, one connection a request.

mod connection;

use std::io;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::host::Host;

/// What a path segment may hold unescaped. Image names keep their slashes and colons: the API's routes expect them.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/')
    .remove(b':')
    .remove(b'@');

type Body = UnsyncBoxBody<Bytes, io::Error>;

const JSON: &str = "application/json";

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody listens.
    #[error("no daemon answers at {host}: start one with `beeline daemon` as root, or name another with -H")]
    NotRunning {
        /// Where nobody listens.
        host: Host,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// The socket may not be opened.
    #[error("permission denied at {host}: run as root, or as a member of the group that owns the socket")]
    PermissionDenied {
        /// The socket.
        host: Host,
    },
    /// The connection broke or was not HTTP.
    #[error("talk to the daemon at {host}")]
    Transport {
        /// The daemon.
        host: Host,
        /// What broke.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The daemon refused.
    #[error("{message}")]
    Api {
        /// The HTTP status.
        status: StatusCode,
        /// The daemon's words.
        message: String,
    },
}

impl Error {
    /// Whether the daemon says that what was asked for does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Api { status: StatusCode::NOT_FOUND, .. })
    }
}

/// A result of a request.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// An attached stream.
#[derive(Debug)]
pub(crate) struct Hijacked {
    /// The raw connection.
    pub(crate) stream: TokioIo<Upgraded>,
    /// Whether output comes in stdcopy frames.
    pub(crate) multiplexed: bool,
}

/// A client of one daemon.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    host: Host,
}

impl Client {
    /// A client of the daemon at `host`. Nothing is sent yet.
    pub(crate) fn new(host: Host) -> Self {
        Self { host }
    }

    /// The daemon's address.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// `GET`, parsed.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let response = self.send(Method::GET, path, None, empty()).await?;
        self.json(response).await
    }

    /// `POST` with a JSON body, parsed.
    pub(crate) async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let response = self.open_json(path, body).await?;
        self.json(response).await
    }

    /// `POST` with a JSON body whose answer is of no interest.
    pub(crate) async fn send_json(&self, path: &str, body: &impl Serialize) -> Result<()> {
        self.open_json(path, body).await.map(drop)
    }

    async fn open_json(&self, path: &str, body: &impl Serialize) -> Result<Response<Incoming>> {
        self.send(Method::POST, path, Some(JSON), self.body(body)?).await
    }

    fn body(&self, body: &impl Serialize) -> Result<Body> {
        let body = serde_json::to_vec(body).map_err(|error| self.transport(error))?;
        Ok(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync())
    }

    /// `POST` or `DELETE` whose answer is of no interest.
    pub(crate) async fn call(&self, method: Method, path: &str) -> Result<()> {
        self.send(method, path, None, empty()).await.map(drop)
    }

    /// A request whose answer is parsed later: its headers have arrived.
    pub(crate) async fn open(&self, method: Method, path: &str) -> Result<Response<Incoming>> {
        self.send(method, path, None, empty()).await
    }

    /// `POST` with an archive as body.
    pub(crate) async fn upload(
        &self,
        path: &str,
        archive: impl AsyncRead + Send + 'static,
    ) -> Result<Response<Incoming>> {
        self.send_archive(Method::POST, path, archive).await
    }

    /// `PUT` with an archive as body.
    pub(crate) async fn put_archive(
        &self,
        path: &str,
        archive: impl AsyncRead + Send + 'static,
    ) -> Result<()> {
        self.send_archive(Method::PUT, path, archive).await.map(drop)
    }

    async fn send_archive(
        &self,
        method: Method,
        path: &str,
        archive: impl AsyncRead + Send + 'static,
    ) -> Result<Response<Incoming>> {
        let frames = ReaderStream::with_capacity(archive, 256 * 1024).map_ok(Frame::data);
        let body = StreamBody::new(frames).boxed_unsync();
        self.send(method, path, Some("application/x-tar"), body).await
    }

    /// `POST` that turns the connection into a raw stream (the API's "hijacking").
    pub(crate) async fn hijack(&self, path: &str) -> Result<Hijacked> {
        self.take_over(self.request(Method::POST, path, None, empty())?).await
    }

    /// The same with a JSON body.
    pub(crate) async fn hijack_json(&self, path: &str, body: &impl Serialize) -> Result<Hijacked> {
        self.take_over(self.request(Method::POST, path, Some(JSON), self.body(body)?)?).await
    }

    async fn take_over(&self, mut request: Request<Body>) -> Result<Hijacked> {
        request.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(UPGRADE, http::HeaderValue::from_static("tcp"));
        let response = connection::send(&self.host, request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let response = self.checked(response).await?;
            return Err(self.transport(format!("status {} instead of an upgrade", response.status())));
        }
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let multiplexed = kind.contains("multiplexed");
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| self.transport(error))?;
        Ok(Hijacked { stream: TokioIo::new(upgraded), multiplexed })
    }

    /// The rest of a response, parsed.
    pub(crate) async fn json<T: DeserializeOwned>(&self, response: Response<Incoming>) -> Result<T> {
        let body = response.into_body().collect().await.map_err(|error| self.transport(error))?.to_bytes();
        serde_json::from_slice(&body).map_err(|error| self.transport(error))
    }

    /// An error of the connection.
    pub(crate) fn transport(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Transport { host: self.host.clone(), source: source.into() }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: Body,
    ) -> Result<Response<Incoming>> {
        let request = self.request(method, path, kind, body)?;
        let response = connection::send(&self.host, request).await?;
        self.checked(response).await
    }

    fn request(&self, method: Method, path: &str, kind: Option<&str>, body: Body) -> Result<Request<Body>> {
        let mut request = Request::builder().method(method).uri(path).header(http::header::HOST, "beeline");
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        request.body(body).map_err(|error| self.transport(error))
    }

    /// The response if it is a success, else the daemon's words.
    async fn checked(&self, response: Response<Incoming>) -> Result<Response<Incoming>> {
        let status = response.status();
        if !status.is_client_error() && !status.is_server_error() {
            return Ok(response);
        }
        let body = response.into_body().collect().await.map_err(|error| self.transport(error))?.to_bytes();
        let message = serde_json::from_slice::<beeline_wire::error::ErrorResponse>(&body).map_or_else(
            |_| format!("{status}: {}", String::from_utf8_lossy(&body).trim()),
            |error| error.message,
        );
        Err(Error::Api { status, message })
    }
}

/// Lines that come as the daemon has them.
pub(crate) type Lines = tokio::io::Lines<Box<dyn tokio::io::AsyncBufRead + Send + Unpin>>;

/// A response's body, line by line.
pub(crate) fn lines(response: Response<Incoming>) -> Lines {
    let data = response.into_body().into_data_stream().map_err(io::Error::other);
    let reader: Box<dyn tokio::io::AsyncBufRead + Send + Unpin> =
        Box::new(BufReader::new(StreamReader::new(data)));
    reader.lines()
}

/// A path whose `{}` is a name that a user gave.
pub(crate) fn path(template: &str, name: &str) -> String {
    template.replacen("{}", &utf8_percent_encode(name, SEGMENT).to_string(), 1)
}

/// `path` with a query.
pub(crate) fn query(path: &str, parameters: &[(&str, &str)]) -> String {
    let encoded = serde_urlencoded::to_string(parameters).unwrap_or_default();
    format!("{path}?{encoded}")
}

fn empty() -> Body {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_a_user_cannot_leave_their_place_in_a_path() {
        assert_eq!(path("/containers/{}/json", "a b?c"), "/containers/a%20b%3Fc/json");
        assert_eq!(path("/images/{}/json", "a/b:c@sha256:d"), "/images/a/b:c@sha256:d/json");
        assert_eq!(query("/x", &[("a", "1&b=2")]), "/x?a=1%26b%3D2");
    }
}
