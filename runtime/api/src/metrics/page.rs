//! The page on the metrics port: what containers use, who talks to whom, which ports are open, what is refused.
//!
//! It reads and changes nothing. All that it loads is in the binary, and a browser is told to load nothing else.

mod asset;
mod live;
mod sample;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use beeline_engine::Engine;
use tokio_util::sync::CancellationToken;

use self::live::Live;

/// `GET /`, the files below `/page/`, and `GET /page/live`.
pub(super) fn router(engine: Engine, shutdown: CancellationToken) -> Router {
    let live = Arc::new(Live::new(engine, shutdown));
    let files = asset::ALL.iter().fold(Router::new(), |router, asset| {
        router.route(asset.path, get(|| std::future::ready(asset.response())))
    });
    files.merge(Router::new().route("/page/live", get(live::stream)).with_state(live))
}
