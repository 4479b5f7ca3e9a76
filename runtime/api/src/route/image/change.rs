//! Naming and removing images.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use beeline_wire::image::ImagePruneReport;

use crate::app::App;
use crate::convert;
use crate::http::detached::detached;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

pub(crate) async fn tag(app: App, name: String, params: &Params) -> Result<Response, ApiError> {
    let repository = params.text("repo").unwrap_or_default().to_owned();
    let tag = params.text("tag").unwrap_or_default().to_owned();
    detached(async move { app.engine.tag_image(&name, &repository, &tag).await }).await?;
    Ok(StatusCode::CREATED.into_response())
}

pub(crate) async fn remove(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let force = params.flag("force");
    let removed = detached(async move { app.engine.remove_image(&name, force).await }).await?;
    Ok(reply::json(&removed.into_iter().map(convert::image::deleted).collect::<Vec<_>>()))
}

/// Removes images without a name and, with the filter `dangling=false`, all that no container uses.
pub(crate) async fn prune(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let mut filters = params.filters(&["dangling", "label", "label!", "until"])?;
    let unused = filters
        .0
        .remove("dangling")
        .is_some_and(|values| values.iter().any(|value| value == "false" || value == "0"));
    let report = detached(async move {
        let images = app.engine.list_images(&filters.0).await?;
        let mut report = ImagePruneReport { images_deleted: Some(Vec::new()), space_reclaimed: 0 };
        for image in images {
            if image.containers > 0 || (!unused && !image.references.is_empty()) {
                continue;
            }
            // A container may have been made of it meanwhile; the other images are still to go.
            if let Ok(removed) = app.engine.remove_image(&image.id, true).await {
                report.space_reclaimed += image.size;
                report
                    .images_deleted
                    .get_or_insert_default()
                    .extend(removed.into_iter().map(convert::image::deleted));
            }
        }
        Ok::<_, ApiError>(report)
    });
    Ok(reply::json(&report.await?))
}
