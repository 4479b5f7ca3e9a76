//! What changes a container's state. A client that leaves half way stops none of it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use beeline_wire::container::summary::ContainerPruneReport;

use crate::app::App;
use crate::http::detached::detached;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

pub(crate) async fn start(State(app): State<App>, Path(name): Path<String>) -> Result<Response, ApiError> {
    detached(async move { app.engine.start(&name).await }).await?;
    Ok(reply::no_content())
}

pub(crate) async fn stop(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let (signal, timeout) = (params.text("signal").map(str::to_owned), params.number("t")?);
    detached(async move { app.engine.stop(&name, signal, timeout).await }).await?;
    Ok(reply::no_content())
}

pub(crate) async fn restart(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let (signal, timeout) = (params.text("signal").map(str::to_owned), params.number("t")?);
    detached(async move { app.engine.restart(&name, signal, timeout).await }).await?;
    Ok(reply::no_content())
}

pub(crate) async fn kill(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let signal = params.text("signal").unwrap_or_default().to_owned();
    detached(async move { app.engine.kill(&name, &signal).await }).await?;
    Ok(reply::no_content())
}

pub(crate) async fn pause(State(app): State<App>, Path(name): Path<String>) -> Result<Response, ApiError> {
    detached(async move { app.engine.pause(&name).await }).await?;
    Ok(reply::no_content())
}

pub(crate) async fn unpause(State(app): State<App>, Path(name): Path<String>) -> Result<Response, ApiError> {
    detached(async move { app.engine.unpause(&name).await }).await?;
    Ok(reply::no_content())
}

pub(crate) async fn rename(
    State(app): State<App>,
    Path(old): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let name = params.text("name").unwrap_or_default().to_owned();
    detached(async move { app.engine.rename(&old, &name).await }).await?;
    Ok(reply::no_content())
}

pub(crate) async fn resize(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let height = params.number("h")?.unwrap_or_default();
    let width = params.number("w")?.unwrap_or_default();
    app.engine.resize(&name, width, height).await?;
    Ok(StatusCode::OK.into_response())
}

pub(crate) async fn remove(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    if params.flag("link") {
        return Err(ApiError::not_implemented("links are not supported"));
    }
    let (force, volumes) = (params.flag("force"), params.flag("v"));
    detached(async move { app.engine.remove(&name, force, volumes).await }).await?;
    Ok(reply::no_content())
}

pub(crate) async fn prune(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let filters = params.filters(&["label", "label!", "until"])?.0;
    let (removed, space_reclaimed) = detached(async move { app.engine.prune(&filters).await }).await?;
    let containers_deleted = removed.iter().map(ToString::to_string).collect();
    Ok(reply::json(&ContainerPruneReport { containers_deleted: Some(containers_deleted), space_reclaimed }))
}
