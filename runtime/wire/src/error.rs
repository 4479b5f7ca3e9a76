//! The body of every failed request.

use serde::{Deserialize, Serialize};

/// `{"message": "…"}`, with the HTTP status that goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResponse {
    pub message: String,
}
