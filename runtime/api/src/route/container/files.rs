//! A container's files: archives in and out, and what is different from the image.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beeline_engine::FileStat;

use crate::app::App;
use crate::convert;
use crate::http::archive::archive;
use crate::http::body::blocking_reader;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

const STAT: &str = "x-docker-container-path-stat";

/// `HEAD /containers/{name}/archive`: what is known of a file.
pub(crate) async fn head(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let path = path(&params)?;
    let stat = app.engine.files(&name).await?.stat(&path).await?;
    Ok((StatusCode::OK, described(&stat)?, Body::empty()).into_response())
}

/// `GET /containers/{name}/archive`: a file or directory.
pub(crate) async fn get(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let path = path(&params)?;
    let files = app.engine.files(&name).await?;
    let header = described(&files.stat(&path).await?)?;
    app.engine.files_event(&files, "archive-path");
    let mut response = archive(|out| async move { files.pack(&path, out).await }).await?;
    response.headers_mut().extend(header);
    Ok(response)
}

/// `PUT /containers/{name}/archive`: unpacks the body into a directory.
pub(crate) async fn put(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    let path = path(&params)?;
    let (keep_kinds, own) = (params.flag("noOverwriteDirNonDir"), params.flag("copyUIDGID"));
    let body = blocking_reader(request.into_body());
    let files = app.engine.files(&name).await?;
    files.unpack(&path, body, keep_kinds, own).await?;
    app.engine.files_event(&files, "extract-to-dir");
    Ok(StatusCode::OK.into_response())
}

/// `GET /containers/{name}/export`: everything but what is mounted.
pub(crate) async fn export(State(app): State<App>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let files = app.engine.files_alone(&name).await?;
    app.engine.files_event(&files, "export");
    archive(|out| async move { files.export(out).await }).await
}

/// `GET /containers/{name}/changes`.
pub(crate) async fn changes(State(app): State<App>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let changes = app.engine.changes(&name).await?;
    Ok(reply::json(&convert::list(changes.iter().map(convert::file::change).collect())))
}

fn path(params: &Params) -> Result<String, ApiError> {
    let path =
        params.text("path").ok_or_else(|| ApiError::bad_request("bad parameter: 'path' cannot be empty"))?;
    Ok(path.to_owned())
}

fn described(stat: &FileStat) -> Result<HeaderMap, ApiError> {
    let failed = |error: &dyn std::fmt::Display| ApiError::internal(format!("describe a file: {error}"));
    let text = serde_json::to_vec(&convert::file::stat(stat)).map_err(|error| failed(&error))?;
    let value = HeaderValue::from_str(&STANDARD.encode(text)).map_err(|error| failed(&error))?;
    Ok(HeaderMap::from_iter([(axum::http::HeaderName::from_static(STAT), value)]))
}
