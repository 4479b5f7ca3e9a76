//! The endpoint Prometheus scrapes.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use beeline_engine::Engine;
use beeline_metrics::{CONTENT_TYPE as EXPOSITION, Exporter, LabelChoice};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::VERSION;

#[derive(Clone)]
struct Scrape {
    engine: Engine,
    exporter: Arc<Exporter>,
}

/// Serves `GET /metrics` until `shutdown` is cancelled. `labels` are the containers' labels that their series get; all
/// if not given.
pub async fn serve_metrics(
    listener: TcpListener,
    engine: Engine,
    labels: Option<Vec<String>>,
    shutdown: CancellationToken,
) {
    let labels = labels.map(LabelChoice::only).unwrap_or_default();
    let exporter = Arc::new(Exporter::new(VERSION, engine.recorder().clone(), labels));
    let scrape = Scrape { engine, exporter };
    let router = Router::new().route("/metrics", get(metrics)).with_state(scrape);
    let serve = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
    if let Err(error) = serve.await {
        tracing::error!(%error, "the metrics endpoint ended");
    }
}

async fn metrics(State(Scrape { engine, exporter }): State<Scrape>) -> Response {
    let rendered = tokio::task::spawn_blocking(move || exporter.render(&engine.metrics())).await;
    match rendered {
        Ok(Ok(text)) => ([(CONTENT_TYPE, HeaderValue::from_static(EXPOSITION))], text).into_response(),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> Response {
    tracing::error!(%error, "render the metrics");
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
}
