//! Paths and methods to handlers.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};

use crate::app::App;
use crate::http::error::ApiError;
use crate::record::record;
use crate::route::{
    container, event, exec, flow, image, network, overview, port, swarm, system, unsupported, volume,
};

/// The whole API.
pub(crate) fn engine_router(app: App) -> Router {
    let routes = containers().merge(images()).merge(volumes()).merge(system_routes()).with_state(app.clone());
    finish(routes.merge(stateless_routes()).route_layer(from_fn_with_state(app, record)))
}

/// A path Docker does not have and a method a path does not have answer alike.
pub(crate) fn finish(router: Router) -> Router {
    router.fallback(not_found).method_not_allowed_fallback(not_found)
}

async fn not_found() -> ApiError {
    ApiError::page_not_found()
}

/// What needs no engine.
pub(crate) fn stateless_routes() -> Router {
    let swarm = ["swarm", "nodes", "services", "tasks", "secrets", "configs"].into_iter().fold(
        Router::new(),
        |router, family| {
            router
                .route(&format!("/{family}"), axum::routing::any(swarm::not_a_manager))
                .route(&format!("/{family}/{{*rest}}"), axum::routing::any(swarm::not_a_manager))
        },
    );
    Router::new()
        .route("/_ping", get(system::ping))
        .route("/auth", post(system::auth))
        .route("/plugins", get(system::plugins))
        .merge(swarm)
        .merge(unsupported::routes())
}

fn containers() -> Router<App> {
    Router::new()
        .route("/containers/json", get(container::list::list))
        .route("/containers/create", post(container::create::create))
        .route("/containers/prune", post(container::lifecycle::prune))
        .route("/containers/{name}/json", get(container::list::inspect))
        .route("/containers/{name}/start", post(container::lifecycle::start))
        .route("/containers/{name}/stop", post(container::lifecycle::stop))
        .route("/containers/{name}/restart", post(container::lifecycle::restart))
        .route("/containers/{name}/kill", post(container::lifecycle::kill))
        .route("/containers/{name}/pause", post(container::lifecycle::pause))
        .route("/containers/{name}/unpause", post(container::lifecycle::unpause))
        .route("/containers/{name}/update", post(container::update::update))
        .route("/containers/{name}/rename", post(container::lifecycle::rename))
        .route("/containers/{name}/resize", post(container::lifecycle::resize))
        .route("/containers/{name}/wait", post(container::wait::wait))
        .route(
            "/containers/{name}/archive",
            get(container::files::get).head(container::files::head).put(container::files::put),
        )
        .route("/containers/{name}/export", get(container::files::export))
        .route("/containers/{name}/changes", get(container::files::changes))
        .route("/commit", post(container::commit::commit))
        .route("/containers/{name}/logs", get(container::logs::logs))
        .route("/containers/{name}/stats", get(container::stats::stats))
        .route("/containers/{name}/attach", post(container::attach::attach))
        .route("/containers/{name}/top", get(container::top::top))
        .route("/containers/{name}/exec", post(exec::create))
        .route("/exec/{id}/start", post(exec::start))
        .route("/exec/{id}/resize", post(exec::resize))
        .route("/exec/{id}/json", get(exec::inspect))
        .route("/containers/{name}", delete(container::lifecycle::remove))
}

fn images() -> Router<App> {
    Router::new()
        .route("/images/json", get(image::list::list))
        .route("/images/load", post(image::archive::load))
        .route("/images/create", post(image::archive::create))
        .route("/images/get", get(image::archive::get_several))
        .route("/images/prune", post(image::change::prune))
        // Names have slashes, so what comes after one is taken off by the handler.
        .route(
            "/images/{*path}",
            get(image::named::get).post(image::named::post).delete(image::change::remove),
        )
}

fn volumes() -> Router<App> {
    Router::new()
        .route("/volumes", get(volume::list))
        .route("/volumes/create", post(volume::create))
        .route("/volumes/prune", post(volume::prune))
        .route("/volumes/{name}", get(volume::inspect).delete(volume::remove))
}

fn system_routes() -> Router<App> {
    Router::new()
        .route("/version", get(system::version))
        .route("/info", get(system::info))
        .route("/system/df", get(system::disk_usage))
        .route("/events", get(event::events))
        .route("/networks", get(network::list))
        .route("/networks/create", post(network::create))
        .route("/networks/prune", post(network::prune))
        .route("/networks/{name}", get(network::inspect).delete(network::remove))
        .route("/networks/{name}/connect", post(network::connect))
        .route("/networks/{name}/disconnect", post(network::disconnect))
        .route("/beeline/containers/{name}/capture", post(container::capture::capture))
        .route("/beeline/ports", get(port::list))
        .route("/beeline/rules", get(port::rules))
        .route("/beeline/stats", get(overview::stats))
        .route("/beeline/flows", get(flow::flows))
        .route("/beeline/drops", get(flow::drops))
        .route("/beeline/pairs", get(flow::pairs))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use axum::response::Response;

    use super::*;
    use crate::http::negotiate::respond;

    async fn answer(method: &str, path: &str) -> Response {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        respond(finish(stateless_routes()), request).await
    }

    async fn text(response: Response) -> String {
        String::from_utf8(to_bytes(response.into_body(), 1 << 16).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn ping_names_the_api_in_its_headers() {
        for method in ["GET", "HEAD"] {
            let response = answer(method, "/_ping").await;
            assert_eq!(response.status(), StatusCode::OK);
            let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(header("api-version"), "1.50");
            assert_eq!(header("ostype"), "linux");
            assert_eq!(header("docker-experimental"), "false");
            assert_eq!(header("swarm"), "inactive");
            assert!(header("server").starts_with("Beeline/"));
            assert!(header("content-type").starts_with("text/plain"));
            assert_eq!(text(response).await, if method == "GET" { "OK" } else { "" });
        }
    }

    #[tokio::test]
    async fn what_docker_has_not_is_not_found() {
        for (method, path) in [("GET", "/nothing"), ("GET", "/v1.41/"), ("POST", "/_ping"), ("GET", "/")] {
            let response = answer(method, path).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{method} {path}");
            assert_eq!(response.headers()["content-type"], "application/json");
            assert_eq!(text(response).await, "{\"message\":\"page not found\"}\n");
        }
    }

    #[tokio::test]
    async fn versions_are_negotiated() {
        assert_eq!(answer("GET", "/v1.24/_ping").await.status(), StatusCode::OK);
        let refused = answer("GET", "/v1.23/_ping").await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert_eq!(refused.headers()["api-version"], "1.50");
        assert!(text(refused).await.contains("client version 1.23 is too old."));
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let response = answer("GET", "/v1.50/images/search").await;
        assert_eq!(response.status(), StatusCode::NOT_IMPLEMENTED);
        assert!(text(response).await.contains("registries"));
    }

    #[tokio::test]
    async fn this_is_no_swarm() {
        for path in ["/services", "/nodes/abc", "/v1.50/swarm"] {
            let response = answer("GET", path).await;
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(text(response).await.contains("This node is not a swarm manager."));
        }
    }
}
