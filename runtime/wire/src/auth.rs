//! Registry credentials: `POST /auth`.

use serde::{Deserialize, Serialize};

use crate::go::null_is_default;

/// What `docker login` sends.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", default)]
pub struct AuthRequest {
    #[serde(deserialize_with = "null_is_default")]
    pub username: String,
    #[serde(deserialize_with = "null_is_default")]
    pub password: String,
    #[serde(deserialize_with = "null_is_default")]
    pub email: String,
    #[serde(deserialize_with = "null_is_default")]
    pub serveraddress: String,
}

impl std::fmt::Debug for AuthRequest {
    // A password must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthRequest")
            .field("username", &self.username)
            .field("serveraddress", &self.serveraddress)
            .finish_non_exhaustive()
    }
}

/// What a login answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthResponse {
    pub status: String,
    pub identity_token: String,
}
