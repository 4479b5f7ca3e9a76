//! `GET /images/json`.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use beeline_wire::version::ApiVersion;

use crate::app::App;
use crate::convert;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

const FILTERS: [&str; 6] = ["before", "dangling", "label", "reference", "since", "until"];

pub(crate) async fn list(
    State(app): State<App>,
    Extension(version): Extension<ApiVersion>,
    params: Params,
) -> Result<Response, ApiError> {
    let images = app.engine.list_images(&params.filters(&FILTERS)?.0).await?;
    let mut shown: Vec<_> = images.iter().map(convert::image::summary).collect();
    for image in &mut shown {
        if !version.since(43) && image.repo_tags.is_empty() {
            image.repo_tags.push("<none>:<none>".to_owned());
            image.repo_digests.push("<none>@<none>".to_owned());
        }
        image.virtual_size = (!version.since(44)).then_some(image.size);
    }
    Ok(reply::json(&shown))
}
