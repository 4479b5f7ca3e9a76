//! Running commands in containers: `/containers/{name}/exec` and `/exec/{id}/…`.

use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use beeline_engine::{Error, ExecStream};
use beeline_wire::exec::{ExecCreateRequest, ExecCreateResponse, ExecStartRequest};
use beeline_wire::stdcopy::{self, Stream};
use beeline_wire::version::ApiVersion;
use hyper::upgrade::OnUpgrade;
use tokio_util::io::ReaderStream;

use crate::app::App;
use crate::convert;
use crate::http::body::Json;
use crate::http::detached::detached;
use crate::http::error::ApiError;
use crate::http::escape::Escape;
use crate::http::hijack::{self, InputEnd, content_type};
use crate::http::params::Params;
use crate::http::reply;
use crate::peer::Peer;

pub(crate) async fn create(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<ExecCreateRequest>,
) -> Result<Response, ApiError> {
    let id = app.engine.exec_create(&name, convert::exec::config(request)?)?;
    Ok(reply::json_with(StatusCode::CREATED, &ExecCreateResponse { id }))
}

/// Starts the exec; with `Detach` that is all, else the connection becomes its streams. As in Docker, a command that
/// cannot be executed is told there: clients then ask for the exit code.
pub(crate) async fn start(
    State(app): State<App>,
    Extension(version): Extension<ApiVersion>,
    Path(id): Path<String>,
    peer: Peer,
    mut request: Request,
) -> Result<Response, ApiError> {
    let client = hijack::upgrade(&mut request);
    let Json(request) = Json::<ExecStartRequest>::from_request(request, &app).await?;
    let size = request.console_size.map(|[height, width]| (height, width));
    let config = app.engine.exec_inspect(&id)?.config;
    let kind = content_type(version, config.tty);
    let (engine, exec) = (app.engine.clone(), id.clone());
    let started = detached(async move {
        // The outcome is either way an answer.
        Ok::<_, ApiError>(engine.exec_start(&exec, size).await)
    });
    match started.await? {
        Ok(_) if request.detach => Ok(StatusCode::OK.into_response()),
        Ok(stream) => Ok(attached(app, id, config.detach_keys, stream, peer, client, kind)),
        Err(error @ Error::Start { .. }) if !request.detach => Ok(told(client, &error, config.tty, kind)),
        Err(error) => Err(error.into()),
    }
}

/// The answer after which the connection is the exec's.
fn attached(
    app: App,
    id: String,
    keys: Vec<u8>,
    stream: ExecStream,
    peer: Peer,
    client: Option<OnUpgrade>,
    kind: &'static str,
) -> Response {
    let escape = stream.tty.then(|| Escape::new(keys));
    let (stream, settled) = stream.into_parts();
    let Some(client) = client else {
        return reply::stream(kind, Body::from_stream(ReaderStream::new(stream)));
    };
    tokio::spawn(async move {
        let left = escape.as_ref().map(Escape::typed);
        let detach = async {
            match left {
                Some(left) => left.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = hijack::join_until(client, stream, peer.clone(), InputEnd::Closes, escape.clone(), settled) => {}
            () = detach => app.engine.exec_detached(&id),
            () = app.shutdown.cancelled() => {}
        }
    });
    hijack::switching(kind)
}

/// Why there is no exec, where its output would have been.
fn told(client: Option<OnUpgrade>, error: &Error, tty: bool, kind: &'static str) -> Response {
    let text = format!("{}\r\n", error.full()).into_bytes();
    let text = Body::from(if tty { text } else { stdcopy::frame(Stream::Stdout, &text) });
    let Some(client) = client else { return reply::stream(kind, text) };
    tokio::spawn(hijack::tell(client, text));
    hijack::switching(kind)
}

pub(crate) async fn resize(
    State(app): State<App>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let height = params.number("h")?.unwrap_or_default();
    let width = params.number("w")?.unwrap_or_default();
    app.engine.exec_resize(&id, width, height).await?;
    Ok(StatusCode::OK.into_response())
}

pub(crate) async fn inspect(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    Ok(reply::json(&convert::exec::inspect(&app.engine.exec_inspect(&id)?)))
}
