//! Volumes.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use beeline_wire::version::ApiVersion;
use beeline_wire::volume::{VolumeCreateRequest, VolumeList, VolumePruneReport};

use crate::app::App;
use crate::convert;
use crate::http::body::Json;
use crate::http::detached::detached;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

const FILTERS: [&str; 4] = ["dangling", "driver", "label", "name"];

pub(crate) async fn list(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let volumes = app.engine.volumes(&params.filters(&FILTERS)?.0)?;
    Ok(reply::json(&VolumeList {
        volumes: volumes.iter().map(convert::volume::volume).collect(),
        warnings: None,
    }))
}

pub(crate) async fn inspect(State(app): State<App>, Path(name): Path<String>) -> Result<Response, ApiError> {
    Ok(reply::json(&convert::volume::volume(&app.engine.inspect_volume(&name)?)))
}

pub(crate) async fn create(
    State(app): State<App>,
    Json(request): Json<VolumeCreateRequest>,
) -> Result<Response, ApiError> {
    if request.cluster_volume_spec.is_some() {
        return Err(ApiError::not_implemented("volumes of a swarm are not supported"));
    }
    let config = convert::volume::config(request);
    let volume = detached(async move { app.engine.create_volume(config).await }).await?;
    Ok(reply::json_with(StatusCode::CREATED, &convert::volume::volume(&volume)))
}

pub(crate) async fn remove(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    match detached(async move { app.engine.remove_volume(&name).await }).await {
        // By force, there being none is as good.
        Err(error) if error.status != StatusCode::NOT_FOUND || !params.flag("force") => Err(error),
        _ => Ok(reply::no_content()),
    }
}

pub(crate) async fn prune(
    State(app): State<App>,
    Extension(version): Extension<ApiVersion>,
    params: Params,
) -> Result<Response, ApiError> {
    let mut filters = params.filters(&["all", "label", "label!"])?;
    if !version.since(42) {
        // Volumes without a name were not told from others then.
        filters.add("all", "true");
    }
    let filters = filters.0;
    let (removed, space_reclaimed) =
        detached(async move { app.engine.prune_volumes(&filters).await }).await?;
    Ok(reply::json(&VolumePruneReport { volumes_deleted: Some(removed), space_reclaimed }))
}
