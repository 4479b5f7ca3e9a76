//! `GET /containers/{name}/top`.

use axum::extract::{Path, State};
use axum::response::Response;
use beeline_wire::container::top::TopResponse;

use crate::app::App;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

pub(crate) async fn top(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let top = app.engine.top(&name, params.text("ps_args").unwrap_or_default()).await?;
    Ok(reply::json(&TopResponse { titles: top.titles, processes: top.processes }))
}
