//! Counts requests by route.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::app::App;

/// Counts a request and the time until its answer begins.
pub(crate) async fn record(
    State(app): State<App>,
    route: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let response = next.run(request).await;
    let code = response.status().as_u16();
    app.engine.recorder().api_request(route.as_str(), method.as_str(), code, began.elapsed());
    response
}
