//! `GET /containers/{id}/top`.

use serde::{Deserialize, Serialize};

/// The processes of a container, as ps prints them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TopResponse {
    pub titles: Vec<String>,
    pub processes: Vec<Vec<String>>,
}
