//! Swarm and what belongs to it: Beeline is never part of one.

use axum::http::StatusCode;

use crate::http::error::ApiError;

pub(crate) async fn not_a_manager() -> ApiError {
    ApiError {
        status: StatusCode::SERVICE_UNAVAILABLE,
        message: "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to \
                  connect this node to swarm and try again."
            .to_owned(),
    }
}
