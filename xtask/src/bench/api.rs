//! Docker's Engine API as a client that costs nothing beside what it measures: one connection, no process.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

/// A version that every engine of the tables answers.
const VERSION: &str = "v1.41";

/// One connection to an engine.
pub(super) struct Api {
    socket: PathBuf,
    runtime: Runtime,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Api {
    pub(super) fn of(socket: &Path) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build().context("make a runtime")?;
        let mut api = Self { socket: socket.to_owned(), runtime, connection: None };
        api.connect()?;
        Ok(api)
    }

    /// Connects unless that is done, so that the next request is sent at once.
    pub(super) fn connect(&mut self) -> Result<()> {
        if self.connection.as_ref().is_some_and(|connection| !connection.is_closed()) {
            return Ok(());
        }
        let connecting = async {
            let stream = UnixStream::connect(&self.socket).await?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            // It ends with the sender; what it fails with, the request that is under way tells.
            tokio::spawn(connection);
            anyhow::Ok(sender)
        };
        let sender = self.runtime.block_on(connecting);
        self.connection = Some(sender.with_context(|| format!("connect to {}", self.socket.display()))?);
        Ok(())
    }

    pub(super) fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        self.exchange(Method::POST, path, body)
    }

    pub(super) fn delete(&mut self, path: &str) -> Result<Value> {
        self.exchange(Method::DELETE, path, &Value::Null)
    }

    /// Sends a request and reads the answer to its end; what is not JSON (a stream) is null.
    fn exchange(&mut self, method: Method, path: &str, body: &Value) -> Result<Value> {
        self.connect()?;
        let Self { runtime, connection, .. } = self;
        let connection = connection.as_mut().context("there is a connection")?;
        let sent = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let what = format!("{method} {path}");
        let request = Request::builder()
            .method(method)
            .uri(format!("/{VERSION}{path}"))
            .header("Host", "engine")
            .header("Content-Type", "application/json")
            .body(Full::new(sent))?;
        let exchange = async {
            connection.ready().await?;
            let (head, body) = connection.send_request(request).await?.into_parts();
            anyhow::Ok((head.status, body.collect().await?.to_bytes()))
        };
        let (status, answer) = runtime.block_on(exchange).with_context(|| what.clone())?;
        if !(status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS) {
            bail!("{what}: {status} {}", String::from_utf8_lossy(&answer));
        }
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }
}
