//! `POST /containers/{name}/wait`.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use beeline_engine::WaitCondition;
use beeline_wire::container::wait::WaitResponse;
use bytes::Bytes;
use futures_util::stream;

use crate::app::App;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

/// The wait is registered and its answer's headers are sent before anything is waited for: `docker run` starts
/// the container only when it has seen them.
pub(crate) async fn wait(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let condition = match params.text("condition").unwrap_or("not-running") {
        "not-running" => WaitCondition::NotRunning,
        "next-exit" => WaitCondition::NextExit,
        "removed" => WaitCondition::Removed,
        other => return Err(ApiError::bad_request(format!("invalid condition: \"{other}\""))),
    };
    let handle = app.engine.wait(&name, condition)?;
    let outcome = async move {
        tokio::select! {
            outcome = handle.outcome() => {
                // Why a start failed is the start's answer; here `Error` would say that waiting failed.
                Ok::<Bytes, Infallible>(reply::line(&WaitResponse { status_code: outcome.code, error: None }))
            }
            // The container goes on; the answer ends without one.
            () = app.shutdown.cancelled() => Ok(Bytes::new()),
        }
    };
    Ok(reply::stream("application/json", Body::from_stream(stream::once(outcome))))
}
