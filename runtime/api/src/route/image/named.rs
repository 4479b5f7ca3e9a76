//! What is asked of one image: `/images/{name}/json`, `/history`, `/get`, `/tag`. Names have slashes.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use beeline_wire::version::ApiVersion;

use super::{archive, change};
use crate::app::App;
use crate::convert;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

pub(crate) async fn get(
    State(app): State<App>,
    Extension(version): Extension<ApiVersion>,
    Path(path): Path<String>,
) -> Result<Response, ApiError> {
    match path.rsplit_once('/') {
        Some((name, "json")) => {
            let image = app.engine.inspect_image(name).await?;
            Ok(reply::json(&convert::image::inspect(&image, version)))
        }
        Some((name, "history")) => {
            Ok(reply::json(&convert::image::history(&app.engine.inspect_image(name).await?)))
        }
        Some((name, "get")) => archive::save(app, vec![name.to_owned()]).await,
        _ => Err(ApiError::page_not_found()),
    }
}

pub(crate) async fn post(
    State(app): State<App>,
    Path(path): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    match path.rsplit_once('/') {
        Some((name, "tag")) => change::tag(app, name.to_owned(), &params).await,
        Some((_, "push")) => {
            Err(ApiError::not_implemented("registries are not supported: save the image instead"))
        }
        _ => Err(ApiError::page_not_found()),
    }
}
