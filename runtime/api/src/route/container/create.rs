//! `POST /containers/create`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use beeline_wire::container::create::{CreateRequest, CreateResponse};

use crate::app::App;
use crate::convert;
use crate::http::body::Json;
use crate::http::detached::detached;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

pub(crate) async fn create(
    State(app): State<App>,
    params: Params,
    Json(request): Json<CreateRequest>,
) -> Result<Response, ApiError> {
    let name = params.text("name").map(str::to_owned);
    let platform = params.text("platform").map(str::to_owned);
    let (request, mut warnings) = convert::create::create(request, name, platform)?;
    let created = detached(async move { app.engine.create(request).await }).await?;
    warnings.extend(created.warnings);
    let answer = CreateResponse { id: created.id.to_string(), warnings };
    Ok(reply::json_with(StatusCode::CREATED, &answer))
}
