//! What the operator's listener answers.

use bytes::Bytes;
use hyper::StatusCode;

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Lines of text.
    pub fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: text.into().into(),
        }
    }

    /// A JSON value.
    pub fn json(status: StatusCode, value: &impl serde::Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self {
                status,
                content_type: JSON,
                body: body.into(),
            },
            Err(error) => Self::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("the answer is not JSON: {error}"),
            ),
        }
    }

    /// What is wrong, as `{"error": …}`.
    pub fn error(status: StatusCode, sentence: &str) -> Self {
        Self {
            status,
            content_type: JSON,
            body: serde_json::json!({ "error": sentence }).to_string().into(),
        }
    }
}

const JSON: &str = "application/json";
