//! `GET /beeline/ports`, `GET /beeline/rules`.

use axum::extract::State;
use axum::response::Response;

use crate::app::App;
use crate::convert;
use crate::http::error::ApiError;
use crate::http::reply;

pub(crate) async fn list(State(app): State<App>) -> Response {
    let ports: Vec<_> = app.engine.ports().iter().map(convert::network::published_port).collect();
    reply::json(&ports)
}

pub(crate) async fn rules(State(app): State<App>) -> Result<Response, ApiError> {
    let rules: Vec<_> = app.engine.daemon_rules()?.iter().map(convert::network::port_rule).collect();
    Ok(reply::json(&rules))
}
