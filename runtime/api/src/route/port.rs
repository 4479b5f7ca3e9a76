//! `GET /beeline/ports`.

use axum::extract::State;
use axum::response::Response;

use crate::app::App;
use crate::convert;
use crate::http::reply;

pub(crate) async fn list(State(app): State<App>) -> Response {
    let ports: Vec<_> = app.engine.ports().iter().map(convert::network::published_port).collect();
    reply::json(&ports)
}
