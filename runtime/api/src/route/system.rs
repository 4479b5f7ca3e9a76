//! The daemon itself: ping, version, info, disk usage.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use axum::response::{IntoResponse, Response};
use beeline_engine::{ImageView, ListOptions};
use beeline_wire::image::ImageSummary;
use beeline_wire::system::disk_usage::DiskUsage;

use crate::app::App;
use crate::convert;
use crate::http::error::ApiError;
use crate::http::reply;

pub(crate) async fn ping() -> Response {
    let mut response = "OK".into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    // 1 is the classic builder: no BuildKit session is offered.
    headers.insert("builder-version", HeaderValue::from_static("1"));
    headers.insert("swarm", HeaderValue::from_static("inactive"));
    response
}

pub(crate) async fn auth() -> ApiError {
    ApiError::not_implemented("registries are not supported, so there is nothing to log in to")
}

pub(crate) async fn plugins() -> Response {
    reply::json::<[(); 0]>(&[])
}

pub(crate) async fn version(State(app): State<App>) -> Result<Response, ApiError> {
    Ok(reply::json(&convert::system::version(&app.engine.info().await?)))
}

pub(crate) async fn info(State(app): State<App>) -> Result<Response, ApiError> {
    Ok(reply::json(&convert::system::info(&app.engine.info().await?)))
}

pub(crate) async fn disk_usage(State(app): State<App>) -> Result<Response, ApiError> {
    let images = app.engine.list_images(&BTreeMap::new()).await?;
    let containers = app.engine.list(&ListOptions { all: true, ..ListOptions::default() })?;
    let layers_size: u64 = images.iter().map(|image| image.size).sum();
    let mut volumes = Vec::new();
    for view in app.engine.volumes(&BTreeMap::new())? {
        volumes.push(convert::volume::used(&view, app.engine.volume_size(&view).await));
    }
    Ok(reply::json(&DiskUsage {
        layers_size: i64::try_from(layers_size).unwrap_or(i64::MAX),
        images: Some(images.iter().map(counted).collect()),
        containers: Some(containers.iter().map(|view| convert::container::summary(view)).collect()),
        volumes: Some(volumes),
        build_cache: Some(Vec::new()),
    }))
}

/// Here, and only here, Docker counts an image's containers.
fn counted(image: &ImageView) -> ImageSummary {
    let containers = i64::try_from(image.containers).unwrap_or(i64::MAX);
    ImageSummary { containers, ..convert::image::summary(image) }
}
