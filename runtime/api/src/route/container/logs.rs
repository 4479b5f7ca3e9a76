//! `GET /containers/{name}/logs`.

use std::convert::Infallible;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use beeline_engine::{Error, LogEntry, LogQuery, LogStream};
use beeline_wire::stdcopy::{self, Stream};
use beeline_wire::version::ApiVersion;
use bytes::Bytes;
use futures_util::StreamExt;

use crate::app::App;
use crate::http::error::ApiError;
use crate::http::hijack::content_type;
use crate::http::params::Params;
use crate::http::reply;

pub(crate) async fn logs(
    State(app): State<App>,
    Extension(version): Extension<ApiVersion>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let query = query(&params)?;
    let log = app.engine.logs(&name, query).await?;
    let kind = content_type(version, log.tty);
    let body = body(log, params.flag("timestamps"));
    let body = Body::from_stream(body.take_until(Box::pin(app.shutdown.cancelled_owned())));
    Ok(reply::stream(kind, body))
}

fn query(params: &Params) -> Result<LogQuery, ApiError> {
    let (stdout, stderr) = (params.flag("stdout"), params.flag("stderr"));
    if !stdout && !stderr {
        return Err(ApiError::bad_request("Bad parameters: you must choose at least one stream"));
    }
    Ok(LogQuery {
        stdout,
        stderr,
        // Anything but a number is "all", as in Docker.
        tail: params.text("tail").and_then(|tail| tail.parse().ok()),
        since: params.time("since")?,
        until: params.time("until")?,
        follow: params.flag("follow"),
    })
}

/// A log as it goes over the connection: frames, or plain bytes from a terminal.
pub(crate) fn body(
    log: LogStream,
    timestamps: bool,
) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let tty = log.tty;
    log.map(move |entry| Ok(encode(entry, tty, timestamps)))
}

fn encode(entry: Result<LogEntry, Error>, tty: bool, timestamps: bool) -> Bytes {
    let (stream, payload) = match entry {
        Ok(entry) => {
            let stream = Stream::try_from(entry.stream as u8).unwrap_or(Stream::Stdout);
            if timestamps {
                // All nine digits, so that lines align and sort.
                let mut line = format!("{:.9} ", entry.time).into_bytes();
                line.extend_from_slice(&entry.bytes);
                (stream, line.into())
            } else {
                (stream, entry.bytes)
            }
        }
        Err(error) => (Stream::System, format!("Error grabbing logs: {}\n", error.full()).into()),
    };
    if tty { payload } else { stdcopy::frame(stream, &payload).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_needs_a_stream() {
        let params = |query: &str| Params::of(&format!("/logs?{query}").parse().unwrap()).unwrap();
        assert!(query(&params("follow=1")).unwrap_err().message.contains("at least one stream"));
        let asked = query(&params("stdout=1&tail=all&follow=1")).unwrap();
        assert_eq!((asked.tail, asked.follow, asked.stderr), (None, true, false));
        assert_eq!(query(&params("stderr=1&tail=3")).unwrap().tail, Some(3));
    }

    #[test]
    fn a_failure_is_a_frame_of_its_own() {
        let bytes = encode(Err(Error::Invalid("broken".to_owned())), false, false);
        assert_eq!(bytes[0], Stream::System as u8);
        assert!(bytes.ends_with(b"Error grabbing logs: broken\n"));
    }
}
