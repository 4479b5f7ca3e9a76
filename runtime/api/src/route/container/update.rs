//! `POST /containers/{name}/update`.

use axum::extract::{Path, State};
use axum::response::Response;
use beeline_wire::container::host_config::{HostConfig, UpdateRequest, UpdateResponse};

use crate::app::App;
use crate::convert;
use crate::http::body::Json;
use crate::http::detached::detached;
use crate::http::error::ApiError;
use crate::http::reply;

pub(crate) async fn update(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<UpdateRequest>,
) -> Result<Response, ApiError> {
    convert::unsupported::check_update(&request.resources)?;
    let UpdateRequest { resources, restart_policy } = request;
    let wanted = HostConfig { resources, restart_policy, ..HostConfig::default() };
    let wanted = convert::host_config::from_wire(wanted);
    let warnings = detached(async move { app.engine.update(&name, wanted).await }).await?;
    Ok(reply::json(&UpdateResponse { warnings }))
}
