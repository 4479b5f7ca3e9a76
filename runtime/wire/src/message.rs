//! The stream of JSON messages that load, import, pull and build answer with: one object a line.

use serde::{Deserialize, Serialize};

/// One message. Exactly the parts that are set are sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JsonMessage {
    /// Text to show as it is, newline included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<ProgressDetail>,
    /// A drawn progress bar, for clients that draw none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// Which layer or object the status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
    /// The failure that ended the stream. The HTTP status was sent long before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<serde_json::Value>,
}

impl JsonMessage {
    /// A line of text.
    pub fn stream(text: impl Into<String>) -> Self {
        Self { stream: Some(text.into()), ..Self::default() }
    }

    /// A status, of the object `id` if there is one.
    pub fn status(text: impl Into<String>, id: Option<String>) -> Self {
        Self { status: Some(text.into()), id, ..Self::default() }
    }

    /// The failure that ends a stream.
    pub fn error(text: impl Into<String>) -> Self {
        let message = text.into();
        let error_detail = Some(ErrorDetail { code: None, message: message.clone() });
        Self { error_detail, error: Some(message), ..Self::default() }
    }
}

/// How far a piece of work is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProgressDetail {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// A failure inside a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    pub message: String,
}
