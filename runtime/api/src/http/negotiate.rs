//! Around every request: the API version off its path, Docker's headers onto its answer.

use axum::Router;
use axum::body::Body;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderName, HeaderValue, Request, Uri};
use axum::response::{IntoResponse, Response};
use beeline_wire::version::ApiVersion;
use tower::ServiceExt;

use super::body::receive_small;
use super::error::ApiError;
use crate::VERSION;

/// Answers one request. Handlers find the client's [`ApiVersion`] among the request's extensions.
pub(crate) async fn respond(router: Router, request: Request<Body>) -> Response {
    with_headers(route(router, request).await.unwrap_or_else(IntoResponse::into_response))
}

async fn route(router: Router, request: Request<Body>) -> Result<Response, ApiError> {
    let mut request = receive_small(request).await?;
    let (version, uri) = versioned(request.uri())?;
    *request.uri_mut() = uri;
    request.extensions_mut().insert(version);
    match router.oneshot(request).await {
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

/// The version a path asks for, and the path without it.
fn versioned(uri: &Uri) -> Result<(ApiVersion, Uri), ApiError> {
    let path = uri.path();
    let Some((version, rest)) = path.strip_prefix("/v").and_then(|path| path.split_once('/')) else {
        return Ok((ApiVersion::MAX, uri.clone()));
    };
    if !version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        // Such as /volumes/prune.
        return Ok((ApiVersion::MAX, uri.clone()));
    }
    let asked = version.parse::<ApiVersion>().map_err(|error| ApiError::bad_request(error.to_string()))?;
    if asked < ApiVersion::MIN {
        return Err(ApiError::bad_request(format!(
            "client version {asked} is too old. Minimum supported API version is {}, please upgrade your client \
             to a newer version",
            ApiVersion::MIN
        )));
    }
    if asked > ApiVersion::MAX {
        return Err(ApiError::bad_request(format!(
            "client version {asked} is too new. Maximum supported API version is {}",
            ApiVersion::MAX
        )));
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let bare = PathAndQuery::try_from(format!("/{rest}{query}"))
        .map_err(|error| ApiError::bad_request(format!("invalid path {path}: {error}")))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(bare);
    let uri = Uri::from_parts(parts).map_err(|error| ApiError::bad_request(error.to_string()))?;
    Ok((asked, uri))
}

fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let server = HeaderValue::from_str(&format!("Beeline/{VERSION} (linux)"));
    headers.insert("server", server.unwrap_or(HeaderValue::from_static("Beeline")));
    let version = HeaderValue::from_str(&ApiVersion::MAX.to_string());
    headers
        .insert(HeaderName::from_static("api-version"), version.unwrap_or(HeaderValue::from_static("1.50")));
    headers.insert("ostype", HeaderValue::from_static("linux"));
    headers.insert("docker-experimental", HeaderValue::from_static("false"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(path: &str) -> Result<(String, String), String> {
        versioned(&path.parse().unwrap())
            .map(|(version, uri)| (version.to_string(), uri.to_string()))
            .map_err(|error| error.message)
    }

    #[test]
    fn the_version_comes_off_the_path() {
        let pair = |version: &str, path: &str| Ok((version.to_owned(), path.to_owned()));
        assert_eq!(split("/v1.24/containers/json?all=1"), pair("1.24", "/containers/json?all=1"));
        assert_eq!(split("/v1.50/_ping"), pair("1.50", "/_ping"));
        assert_eq!(split("/containers/json"), pair("1.50", "/containers/json"));
        assert_eq!(split("/version"), pair("1.50", "/version"));
        assert_eq!(split("/volumes/prune"), pair("1.50", "/volumes/prune"));
        assert_eq!(split("/v1.41/images/a%2Fb/json"), pair("1.41", "/images/a%2Fb/json"));
    }

    #[test]
    fn versions_out_of_range_are_refused_in_docker_s_words() {
        assert_eq!(
            split("/v1.23/info").unwrap_err(),
            "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client \
             to a newer version"
        );
        assert_eq!(
            split("/v1.99/info").unwrap_err(),
            "client version 1.99 is too new. Maximum supported API version is 1.50"
        );
        assert!(split("/v1/info").unwrap_err().contains("invalid API version"));
    }
}
