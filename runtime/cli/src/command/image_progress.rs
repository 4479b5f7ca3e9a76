//! The stream of messages that load and import answer with.

use anyhow::{Result, bail};
use beeline_wire::message::JsonMessage;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::client::Client;

/// Calls `each` for every message as it arrives.
///
/// # Errors
/// What the daemon says went wrong, or a broken connection.
pub(super) async fn messages(
    client: &Client,
    response: Response<Incoming>,
    mut each: impl FnMut(&JsonMessage) -> Result<()>,
) -> Result<()> {
    let mut body = response.into_body();
    let mut buffer = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| client.transport(error))?;
        buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        let mut stream = serde_json::Deserializer::from_slice(&buffer).into_iter::<JsonMessage>();
        let mut failure = None;
        while let Some(Ok(message)) = stream.next() {
            failure = failure.or_else(|| message.error.clone());
            each(&message)?;
        }
        let used = stream.byte_offset();
        buffer.drain(..used);
        if let Some(failure) = failure {
            bail!("error from daemon: {failure}");
        }
    }
    if buffer.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    bail!("the daemon's answer ends in the middle of a message: {}", String::from_utf8_lossy(&buffer));
}
