//! Networks.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use beeline_wire::network::{
    NetworkConnectRequest, NetworkCreateRequest, NetworkCreateResponse, NetworkDisconnectRequest,
    NetworkPruneReport,
};
use beeline_wire::version::ApiVersion;

use crate::app::App;
use crate::convert;
use crate::http::body::Json;
use crate::http::detached::detached;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

const FILTERS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];

pub(crate) async fn list(
    State(app): State<App>,
    Extension(version): Extension<ApiVersion>,
    params: Params,
) -> Result<Response, ApiError> {
    let networks = app.engine.networks(&params.filters(&FILTERS)?.0)?;
    // A list does not say who is on a network: only the inspection does.
    let shown: Vec<_> = networks.iter().map(|view| convert::network::network(view, version, false)).collect();
    Ok(reply::json(&shown))
}

pub(crate) async fn inspect(
    State(app): State<App>,
    Extension(version): Extension<ApiVersion>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let view = app.engine.inspect_network(&name)?;
    Ok(reply::json(&convert::network::network(&view, version, true)))
}

pub(crate) async fn create(
    State(app): State<App>,
    Json(request): Json<NetworkCreateRequest>,
) -> Result<Response, ApiError> {
    let config = convert::network::config(request)?;
    let id = detached(async move { app.engine.create_network(config).await }).await?;
    let answer = NetworkCreateResponse { id, warning: String::new() };
    Ok(reply::json_with(StatusCode::CREATED, &answer))
}

pub(crate) async fn remove(State(app): State<App>, Path(name): Path<String>) -> Result<Response, ApiError> {
    detached(async move { app.engine.remove_network(&name).await }).await?;
    Ok(reply::no_content())
}

pub(crate) async fn prune(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let filters = params.filters(&["label", "label!", "until"])?.0;
    let removed = detached(async move { app.engine.prune_networks(&filters).await }).await?;
    Ok(reply::json(&NetworkPruneReport { networks_deleted: convert::list(removed) }))
}

pub(crate) async fn connect(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<NetworkConnectRequest>,
) -> Result<Response, ApiError> {
    let config = convert::network::endpoint_config(request.endpoint_config.unwrap_or_default());
    detached(async move { app.engine.connect(&name, &request.container, config).await }).await?;
    Ok(StatusCode::OK.into_response())
}

pub(crate) async fn disconnect(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<NetworkDisconnectRequest>,
) -> Result<Response, ApiError> {
    detached(async move { app.engine.disconnect(&name, &request.container, request.force).await }).await?;
    Ok(StatusCode::OK.into_response())
}
