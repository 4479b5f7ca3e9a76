//! The endpoint Prometheus scrapes, with what else is served there.

mod access;
mod discovery;
mod page;
mod scrape;
mod server;
mod tls;
mod web_config;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use beeline_engine::Engine;
use beeline_metrics::{Exporter, LabelChoice};
use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::access::Access;
use self::scrape::Scrape;
pub use self::web_config::{WebConfig, WebConfigError};
use crate::VERSION;

/// What the endpoint serves, and to whom.
#[derive(Debug, Default)]
pub struct MetricsOptions {
    /// The containers' labels that their series get; all if not given.
    pub labels: Option<Vec<String>>,
    /// The sources that are answered; all if empty.
    pub allow: Vec<IpNet>,
    /// Certificates and users.
    pub web_config: Option<WebConfig>,
    /// Whether people find a page there.
    pub page: bool,
}

/// Serves `GET /metrics`, `GET /sd` and the page until `shutdown` is cancelled.
pub async fn serve_metrics(
    listener: TcpListener,
    engine: Engine,
    options: MetricsOptions,
    shutdown: CancellationToken,
) {
    let labels = options.labels.map(LabelChoice::only).unwrap_or_default();
    let exporter = Arc::new(Exporter::new(VERSION, engine.recorder().clone(), labels));
    let access = Arc::new(Access::new(options.allow, options.web_config));
    if access.sends_passwords_in_the_clear() && listener.local_addr().is_ok_and(|at| !at.ip().is_loopback()) {
        tracing::warn!(
            "passwords to the metrics cross the network in the clear: give the web configuration a tls_server_config"
        );
    }
    let page = options.page.then(|| page::router(engine.clone(), shutdown.clone()));
    let router = Router::new()
        .route("/metrics", get(scrape::metrics))
        .route("/sd", get(discovery::targets))
        .with_state(Scrape { engine, exporter })
        .merge(page.unwrap_or_default())
        .layer(from_fn_with_state(access.clone(), access::guard));
    server::serve(listener, router, access, shutdown).await;
}
