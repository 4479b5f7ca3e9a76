//! `POST /containers/{name}/attach`.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use beeline_engine::{AttachOptions, Attachment, ContainerConfig, LogQuery};
use beeline_wire::version::ApiVersion;
use futures_util::StreamExt;
use tokio_util::io::ReaderStream;

use super::logs;
use crate::app::App;
use crate::http::error::ApiError;
use crate::http::hijack::{self, InputEnd, content_type};
use crate::http::params::Params;
use crate::http::reply;
use crate::peer::Peer;

/// Answers at once, also for a container that has not started: `docker run` starts it only then.
pub(crate) async fn attach(
    State(app): State<App>,
    Extension(version): Extension<ApiVersion>,
    Path(name): Path<String>,
    params: Params,
    peer: Peer,
    mut request: Request,
) -> Result<Response, ApiError> {
    let options = AttachOptions {
        stdin: params.flag("stdin"),
        stdout: params.flag("stdout"),
        stderr: params.flag("stderr"),
    };
    let past = if params.flag("logs") { past(&app, &name, options).await? } else { Body::empty() };
    let config = app.engine.inspect(&name)?.config.clone();
    let input_end = input_end(&config, options);
    let live = if params.flag("stream") { Some(app.engine.attach(&name, options).await?) } else { None };
    let kind = content_type(version, config.tty);
    let Some(client) = hijack::upgrade(&mut request) else {
        return Ok(reply::stream(kind, plain(past, live)));
    };
    tokio::spawn(async move {
        let serve = async {
            let container = match live {
                Some(attachment) => tokio::select! {
                    stream = attachment.connected() => stream,
                    // It never started while its client was there.
                    () = peer.hung_up() => return,
                },
                None => None,
            };
            hijack::join(client, past, container, peer, input_end).await;
        };
        tokio::select! {
            () = serve => {}
            () = app.shutdown.cancelled() => {}
        }
    });
    Ok(hijack::switching(kind))
}

/// Docker closes a container's input with its first client's, if the container was made for one client alone.
fn input_end(config: &ContainerConfig, options: AttachOptions) -> InputEnd {
    let shared = !config.stdin_once || config.tty;
    if options.stdin && shared { InputEnd::Detaches } else { InputEnd::Closes }
}

/// What the container has written so far.
async fn past(app: &App, name: &str, options: AttachOptions) -> Result<Body, ApiError> {
    let AttachOptions { stdout, stderr, .. } = options;
    let log = app.engine.logs(name, LogQuery { stdout, stderr, ..LogQuery::default() }).await?;
    Ok(Body::from_stream(logs::body(log, logs::Shown::default())))
}

/// Output alone, for a client that does not take the connection over.
fn plain(past: Body, live: Option<Attachment>) -> Body {
    let Some(attachment) = live else { return past };
    let output = futures_util::stream::once(attachment.connected()).flat_map(|stream| {
        futures_util::stream::iter(stream).flat_map(|stream| ReaderStream::new(stream).boxed())
    });
    let past = past.into_data_stream().map(|chunk| chunk.map_err(std::io::Error::other));
    Body::from_stream(past.chain(output))
}
