//! `GET /containers/{name}/logs`.

use std::collections::BTreeMap;
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
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

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
    let shown = Shown { timestamps: params.flag("timestamps"), details: params.flag("details") };
    let body = body(log, shown);
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

/// What is shown of a record before its text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shown {
    pub(crate) timestamps: bool,
    /// Labels and variables.
    pub(crate) details: bool,
}

/// A log as it goes over the connection: frames, or plain bytes from a terminal.
pub(crate) fn body(
    log: LogStream,
    shown: Shown,
) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let tty = log.tty;
    log.map(move |entry| Ok(encode(entry, tty, shown)))
}

fn encode(entry: Result<LogEntry, Error>, tty: bool, shown: Shown) -> Bytes {
    let (stream, payload) = match entry {
        Ok(entry) => {
            let stream = Stream::try_from(entry.stream as u8).unwrap_or(Stream::Stdout);
            let mut line = String::new();
            if shown.timestamps {
                // All nine digits, so that lines align and sort.
                line = format!("{:.9} ", entry.time);
            }
            if shown.details {
                line.push_str(&details(&entry.attributes));
                line.push(' ');
            }
            if line.is_empty() {
                (stream, entry.bytes)
            } else {
                (stream, [line.as_bytes(), &entry.bytes].concat().into())
            }
        }
        Err(error) => (Stream::System, format!("Error grabbing logs: {}\n", error.full()).into()),
    };
    if tty { payload } else { stdcopy::frame(stream, &payload).into() }
}

/// Labels and variables as Docker shows them: `NAME=VALUE,…`, both as in a URL's query.
fn details(attributes: &BTreeMap<String, String>) -> String {
    const KEPT: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b' ');
    let word = |text: &str| utf8_percent_encode(text, KEPT).to_string().replace(' ', "+");
    let pair = |(name, value): (&String, &String)| format!("{}={}", word(name), word(value));
    attributes.iter().map(pair).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_between_the_time_and_the_text() {
        let attributes = [("b c", "1+1"), ("a.b", "x~y")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let entry = |attributes| LogEntry {
            stream: serde_json::from_str("\"stdout\"").unwrap(),
            time: jiff::Timestamp::UNIX_EPOCH,
            bytes: Bytes::from_static(b"text\n"),
            attributes,
        };
        let all = Shown { timestamps: true, details: true };
        let line = encode(Ok(entry(attributes)), true, all);
        assert_eq!(line, "1970-01-01T00:00:00.000000000Z a.b=x~y,b+c=1%2B1 text\n");
        let plain = Shown { timestamps: false, details: true };
        assert_eq!(encode(Ok(entry(BTreeMap::new())), true, plain), " text\n");
    }

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
        let bytes = encode(Err(Error::Invalid("broken".to_owned())), false, Shown::default());
        assert_eq!(bytes[0], Stream::System as u8);
        assert!(bytes.ends_with(b"Error grabbing logs: broken\n"));
    }
}
