//! `GET /beeline/stats`.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures_util::{StreamExt, stream};

use crate::app::App;
use crate::convert;
use crate::http::reply;

/// All containers in one line, a line a second.
pub(crate) async fn stats(State(app): State<App>) -> Response {
    let lines = stream::unfold(app.engine.overview(), async |mut overview| {
        let containers = overview.next().await;
        let line: Vec<_> =
            containers.iter().map(|(view, used)| convert::overview::container(view, used.as_ref())).collect();
        Some((Ok::<_, Infallible>(reply::line(&line)), overview))
    });
    let body = Body::from_stream(lines.take_until(Box::pin(app.shutdown.cancelled_owned())));
    reply::stream("application/json", body)
}
