//! Networks.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use beeline_wire::version::ApiVersion;

use crate::app::App;
use crate::convert;
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

pub(crate) async fn unsupported() -> ApiError {
    ApiError::not_implemented(
        "networks cannot be created, changed or removed; containers use bridge, host or none",
    )
}
