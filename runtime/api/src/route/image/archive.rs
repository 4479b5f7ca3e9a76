//! Images from and to archives: load, import, save.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use beeline_engine::{ImageLoad, ImportImage};
use beeline_wire::message::JsonMessage;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::app::App;
use crate::http::archive::archive;
use crate::http::body::blocking_reader;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

/// `POST /images/load`. A failure before anything was loaded is a failed request, a later one a message.
pub(crate) async fn load(
    State(app): State<App>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    let quiet = params.flag("quiet");
    let archive = blocking_reader(request.into_body());
    let (sender, mut events) = mpsc::unbounded_channel();
    let loading = tokio::spawn(async move { app.engine.load_images(archive, sender).await });
    let first = events.recv().await;
    let Some(first) = first else {
        // Nothing happened: the archive was refused or held nothing.
        loading.await.map_err(|error| ApiError::internal(error.to_string()))??;
        return Ok(reply::stream("application/json", Body::empty()));
    };
    let rest = stream::unfold((events, Some(loading)), |(mut events, loading)| async move {
        if let Some(event) = events.recv().await {
            return Some((Ok(event), (events, loading)));
        }
        let failure = match loading?.await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.full(),
            Err(error) => error.to_string(),
        };
        Some((Err(failure), (events, None)))
    });
    let lines = stream::once(std::future::ready(Ok(first))).chain(rest).filter_map(move |event| {
        let shown = match event {
            Ok(ImageLoad::Loaded { image, named: true }) => {
                Some(JsonMessage::stream(format!("Loaded image: {image}\n")))
            }
            Ok(ImageLoad::Loaded { image, named: false }) => {
                Some(JsonMessage::stream(format!("Loaded image ID: {image}\n")))
            }
            Ok(ImageLoad::Note(text)) => (!quiet).then(|| JsonMessage::stream(format!("{text}\n"))),
            Err(failure) => Some(JsonMessage::error(failure)),
        };
        std::future::ready(shown.map(|message| Ok::<Bytes, Infallible>(reply::line(&message))))
    });
    Ok(reply::stream("application/json", Body::from_stream(lines)))
}

/// `POST /images/create`: imports a file system from the body.
pub(crate) async fn create(
    State(app): State<App>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    if let Some(image) = params.text("fromImage") {
        let image = image.trim_start_matches("docker.io/").trim_start_matches("library/");
        return Err(ApiError::not_implemented(format!(
            "cannot pull {image}: registries are not supported; load an archive of the image with \"docker load\" \
             or import a file system with \"docker import\""
        )));
    }
    match params.text("fromSrc") {
        Some("-") => {}
        Some(url) => {
            return Err(ApiError::not_implemented(format!(
                "cannot import from {url}: download it and import the file"
            )));
        }
        None => return Err(ApiError::bad_request("one of fromImage and fromSrc must be given")),
    }
    let reference = params.text("repo").map(|repository| match params.text("tag") {
        Some(tag) if tag.contains(':') => format!("{repository}@{tag}"),
        Some(tag) => format!("{repository}:{tag}"),
        None => repository.to_owned(),
    });
    let import = ImportImage {
        reference,
        message: params.text("message").map(str::to_owned),
        changes: params.all("changes"),
        platform: params.text("platform").map(str::to_owned),
    };
    let archive = blocking_reader(request.into_body());
    let id = app.engine.import_image(archive, import).await?;
    Ok(reply::stream("application/json", Body::from(reply::line(&JsonMessage::status(id, None)))))
}

/// `GET /images/get?names=…`.
pub(crate) async fn get_several(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    save(app, params.all("names")).await
}

/// An archive as `docker save` makes it.
pub(crate) async fn save(app: App, names: Vec<String>) -> Result<Response, ApiError> {
    archive(|out| async move { app.engine.save_images(names, out).await }).await
}
