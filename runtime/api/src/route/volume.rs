//! Volumes: there are none yet, which is said in Docker's words.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use beeline_wire::volume::{VolumeList, VolumePruneReport};

use crate::http::error::ApiError;
use crate::http::reply;

pub(crate) async fn list() -> Response {
    reply::json(&VolumeList::default())
}

pub(crate) async fn inspect(Path(name): Path<String>) -> ApiError {
    ApiError { status: StatusCode::NOT_FOUND, message: format!("get {name}: no such volume") }
}

pub(crate) async fn create() -> ApiError {
    ApiError::not_implemented(
        "volumes are not supported; mount a directory of the host instead: -v /path:/path",
    )
}

pub(crate) async fn prune() -> Response {
    reply::json(&VolumePruneReport::default())
}
