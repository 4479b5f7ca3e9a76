//! `POST /beeline/containers/{name}/capture`.

use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use beeline_engine::{CAPTURE_SNAPLEN, Capture, CaptureFilter, CaptureRequest};
use bytes::Bytes;
use futures_util::{Stream, stream};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::convert;
use crate::http::error::ApiError;
use crate::http::hijack;
use crate::http::params::Params;
use crate::http::reply;
use crate::peer::Peer;

const PCAPNG: &str = "application/x-pcapng";

/// Streams packets until the capture ends or the client goes. A client that takes the connection over ends the capture by
/// closing its side, and is told how many packets were lost.
pub(crate) async fn capture(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
    peer: Peer,
    mut request: Request,
) -> Result<Response, ApiError> {
    let wanted = wanted(&params)?;
    let snaplen = wanted.snaplen;
    let container = app.engine.inspect(&name)?.name.to_string();
    let stop = app.shutdown.child_token();
    let capture = app.engine.capture(&name, wanted, stop.clone()).await?;
    let pieces = pieces(capture, snaplen, container);
    match hijack::upgrade(&mut request) {
        None => Ok(reply::stream(PCAPNG, Body::from_stream(pieces))),
        Some(client) => {
            tokio::spawn(async move {
                tokio::select! {
                    () = send(client, Body::from_stream(pieces), stop) => {}
                    () = peer.hung_up() => {}
                }
            });
            Ok(hijack::switching(PCAPNG))
        }
    }
}

fn wanted(params: &Params) -> Result<CaptureRequest, ApiError> {
    let snaplen = params.number("snaplen")?.unwrap_or(CAPTURE_SNAPLEN);
    if snaplen == 0 || snaplen > CAPTURE_SNAPLEN {
        return Err(ApiError::bad_request(format!("snaplen is from 1 to {CAPTURE_SNAPLEN} bytes")));
    }
    Ok(CaptureRequest {
        network: params.text("network").map(str::to_owned),
        filter: CaptureFilter {
            hosts: all(params, "host")?,
            ports: all(params, "port")?,
            protocols: all(params, "proto")?,
        },
        snaplen,
        packets: params.number("count")?,
        duration: params.number("duration")?.map(Duration::from_nanos),
    })
}

fn all<T: FromStr<Err: std::fmt::Display>>(params: &Params, name: &str) -> Result<Vec<T>, ApiError> {
    let wrong = |value: &str, error: T::Err| {
        ApiError::bad_request(format!("invalid value for \"{name}\": {value}: {error}"))
    };
    params.all(name).iter().map(|value| value.parse().map_err(|error| wrong(value, error))).collect()
}

/// What was captured as it comes, and at the end what came of it.
fn pieces(
    capture: Capture,
    snaplen: u32,
    container: String,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let mut first = Vec::new();
    let writer = convert::capture::Writer::new(&mut first, snaplen);
    stream::unfold((Some(capture), writer, first), move |(capture, mut writer, mut out)| {
        let container = container.clone();
        async move {
            let mut capture = capture?;
            if capture.next(|captured| writer.add(&mut out, &captured)).await {
                return Some((Ok(out.into()), (Some(capture), writer, Vec::new())));
            }
            let comment = convert::capture::end(capture.end(), &container);
            match capture.counters() {
                Ok(counters) => writer.end(&mut out, counters, &comment),
                Err(error) => tracing::warn!(error = error.full(), "a capture ends without its figures"),
            }
            Some((Ok(out.into()), (None, writer, Vec::new())))
        }
    })
}

/// Sends over a connection that was taken over; the end of its input stops the capture.
async fn send(client: OnUpgrade, pieces: Body, stop: CancellationToken) {
    let client = match client.await {
        Ok(upgraded) => TokioIo::new(upgraded),
        Err(error) => {
            tracing::debug!(%error, "a client left before its connection was upgraded");
            return;
        }
    };
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let input = async {
        let mut ignored = [0; 64];
        while from_client.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
        stop.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        sent = hijack::send(pieces, &mut to_client) => {
            if let Err(error) = sent {
                tracing::debug!(%error, "a capture's client has gone");
            }
        }
        () = input => {}
    }
    // A client that has gone needs no end.
    let _ = to_client.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::of(&format!("/capture?{query}").parse().unwrap()).unwrap()
    }

    #[test]
    fn a_filter_is_read_from_the_query() {
        let asked = wanted(&params("host=192.0.2.1&host=::1&port=80&proto=tcp&count=3&duration=5")).unwrap();
        assert_eq!(asked.filter.hosts.len(), 2);
        assert_eq!((asked.packets, asked.duration), (Some(3), Some(Duration::from_nanos(5))));
        assert_eq!(asked.snaplen, CAPTURE_SNAPLEN);
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (query, text) in [
            ("host=web", "\"host\": web"),
            ("port=70000", "\"port\": 70000"),
            ("proto=gre", "unknown protocol \"gre\""),
            ("snaplen=0", "from 1 to 262144"),
        ] {
            let error = wanted(&params(query)).unwrap_err().message;
            assert!(error.contains(text), "{error}");
        }
    }
}
