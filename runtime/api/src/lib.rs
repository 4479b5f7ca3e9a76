//! The Docker Engine API over HTTP: requests to the engine's types and its answers back. No logic of the
//! domain is here; only this crate knows HTTP.
//!
//! `serve` accepts connections, `http::negotiate` takes the version off the path, `router` finds the
//! handler, `convert` translates between the API's types and the engine's.
#![forbid(unsafe_code)]

mod app;
mod convert;
mod export;
mod http;
mod listener;
mod metrics;
mod peer;
mod record;
mod route;
mod router;
mod serve;

pub use export::{Export, Exporter};
pub use listener::{HostAddr, InvalidHost, ListenError, Listener};
pub use metrics::{MetricsOptions, WebConfig, WebConfigError, serve_metrics};
pub use serve::serve;

/// The version this API says its server has.
const VERSION: &str = env!("CARGO_PKG_VERSION");
