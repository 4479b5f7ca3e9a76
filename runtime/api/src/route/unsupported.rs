//! What Docker's API has and Beeline does not: said as such, since "page not found" helps nobody.

use axum::Router;
use axum::routing::any;

use crate::http::error::ApiError;

/// Paths, and what they are for.
const PATHS: &[(&str, &str)] = &[
    ("/containers/{name}/attach/ws", "attaching through a web socket"),
    ("/build", "building images; build elsewhere, save, and load the archive"),
    ("/build/prune", "building images"),
    ("/images/search", "registries"),
    ("/distribution/{*name}", "registries"),
];

/// Routes that answer 501 and name what is missing.
pub(crate) fn routes() -> Router {
    PATHS
        .iter()
        .fold(Router::new(), |router, (path, what)| router.route(path, any(async || not_supported(what))))
}

fn not_supported(what: &str) -> ApiError {
    ApiError::not_implemented(format!("not supported: {what}"))
}
