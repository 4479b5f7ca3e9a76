//! Answers: JSON, empty, and streams of lines.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// 200 with a JSON body.
pub(crate) fn json<T: Serialize>(value: &T) -> Response {
    json_with(StatusCode::OK, value)
}

/// `status` with a JSON body, a line feed after it as Go's encoder writes it.
pub(crate) fn json_with<T: Serialize>(status: StatusCode, value: &T) -> Response {
    (status, [(CONTENT_TYPE, JSON)], line(value)).into_response()
}

/// 204.
pub(crate) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// 200 with a body that is sent as it comes.
pub(crate) fn stream(content_type: &'static str, body: Body) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response()
}

/// One JSON value and a line feed.
pub(crate) fn line<T: Serialize>(value: &T) -> Bytes {
    match serde_json::to_vec(value) {
        Ok(mut text) => {
            text.push(b'\n');
            text.into()
        }
        // The wire types have string keys and no failing serializers; say so rather than cut the answer.
        Err(error) => format!("{{\"message\":\"encode the answer: {error}\"}}\n").into(),
    }
}
