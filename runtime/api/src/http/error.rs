//! The one place where a failure becomes a status.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use beeline_engine::Kind;
use beeline_wire::error::ErrorResponse;

use super::reply;

/// A failed request: a status and the message for its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    pub(crate) fn not_implemented(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_IMPLEMENTED, message: message.into() }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: message.into() }
    }

    /// What every path that Docker does not have answers.
    pub(crate) fn page_not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, message: "page not found".to_owned() }
    }
}

impl From<beeline_engine::Error> for ApiError {
    fn from(error: beeline_engine::Error) -> Self {
        let status = match error.kind() {
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::InvalidParameter => StatusCode::BAD_REQUEST,
            Kind::NotModified => StatusCode::NOT_MODIFIED,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, message: error.full() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status == StatusCode::NOT_MODIFIED {
            return self.status.into_response();
        }
        if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(message = %self.message, "a request failed");
        } else {
            tracing::debug!(status = %self.status, message = %self.message, "a request was refused");
        }
        reply::json_with(self.status, &ErrorResponse { message: self.message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_become_docker_s_statuses() {
        let error = beeline_engine::Error::NoSuchContainer { reference: "web".to_owned() };
        let answer = ApiError::from(error);
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.message, "No such container: web");
        let error = beeline_engine::Error::NotModified("already started".to_owned());
        assert_eq!(ApiError::from(error).into_response().status(), StatusCode::NOT_MODIFIED);
    }
}
