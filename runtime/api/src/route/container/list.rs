//! `GET /containers/json` and `GET /containers/{name}/json`.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use beeline_engine::ListOptions;
use beeline_wire::version::ApiVersion;

use crate::app::App;
use crate::convert;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

pub(crate) async fn list(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    // -1 is Docker's "no limit".
    let limit = params.number::<i64>("limit")?.and_then(|limit| usize::try_from(limit).ok());
    let options = ListOptions {
        all: params.flag("all"),
        limit: limit.filter(|limit| *limit > 0),
        filters: params.filters(&ListOptions::FILTERS)?.0,
    };
    let views = app.engine.list(&options)?;
    let shown: Vec<_> = views.iter().map(|view| convert::container::summary(view)).collect();
    Ok(reply::json(&shown))
}

pub(crate) async fn inspect(
    State(app): State<App>,
    Extension(version): Extension<ApiVersion>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let view = app.engine.inspect(&name)?;
    let mut answer = convert::container::inspect(&view, version);
    answer.exec_ids = convert::list(app.engine.exec_ids(&view.id));
    Ok(reply::json(&answer))
}
