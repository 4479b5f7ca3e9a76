//! `POST /commit`: an image of a container.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use beeline_engine::CommitContainer;
use beeline_wire::container::files::CommitResponse;
use serde_json::{Map, Value};

use crate::app::App;
use crate::http::detached::detached;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

/// The largest configuration that is received.
const LARGEST: usize = 1 << 20;

/// What of a container's configuration an image has as well.
const FIELDS: [&str; 12] = [
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "OnBuild",
    "Shell",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
];

pub(crate) async fn commit(
    State(app): State<App>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    let container =
        params.text("container").ok_or_else(|| ApiError::bad_request("no container is given"))?.to_owned();
    let body = axum::body::to_bytes(request.into_body(), LARGEST).await;
    let body = body.map_err(|error| ApiError::bad_request(format!("read the request body: {error}")))?;
    let reference = params.text("repo").map(|repository| match params.text("tag") {
        Some(tag) => format!("{repository}:{tag}"),
        None => repository.to_owned(),
    });
    let text = |name: &str| params.text(name).unwrap_or_default().to_owned();
    let commit = CommitContainer {
        reference,
        author: text("author"),
        comment: text("comment"),
        changes: params.all("changes").iter().flat_map(|given| given.lines().map(str::to_owned)).collect(),
        pause: params.get("pause").is_none() || params.flag("pause"),
        config: config(&body)?,
    };
    let id = detached(async move { app.engine.commit(&container, commit).await }).await?;
    Ok(reply::json_with(StatusCode::CREATED, &CommitResponse { id }))
}

/// What the request has instead of the container's configuration; fields that say nothing are left to that.
fn config(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let given: Option<Map<String, Value>> = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("invalid JSON: {error}")))?;
    let says = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    };
    let given = given.unwrap_or_default().into_iter();
    Ok(given.filter(|(key, value)| FIELDS.contains(&key.as_str()) && says(value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_something_replaces_the_containers() {
        assert!(config(b"").unwrap().is_empty());
        assert!(config(b"null").unwrap().is_empty());
        let given = config(br#"{"User":"","Cmd":["x"],"Env":null,"Hostname":"h","Labels":{}}"#).unwrap();
        assert_eq!(Value::Object(given), serde_json::json!({"Cmd": ["x"]}));
    }
}
