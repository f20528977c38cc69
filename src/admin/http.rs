//! Requests and answers of the admin listener.

use std::future::Future;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};

/// Answers the requests below `/api/`.
///
/// It gets only requests from programs and pages of the listener's own address: the Host is checked, and every request other than a
/// GET has a JSON body, possibly an empty one.
pub(crate) trait Handler: Send + Sync + 'static {
    fn call(&self, call: Call) -> impl Future<Output = HttpAnswer> + Send;
}

/// A request to a [`Handler`].
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// The path after `/api/`, still percent-encoded.
    pub(crate) path: String,
    /// The query without the question mark, still percent-encoded.
    pub(crate) query: Option<String>,
    /// At most [`crate::limits::ADMIN_BODY_BYTES`].
    pub(crate) body: Bytes,
}

#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

impl HttpAnswer {
    pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: text.into().into(),
        }
    }

    pub(crate) fn json(status: StatusCode, value: &impl serde::Serialize) -> Self {
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

    /// A sentence, as `{"error": …}`.
    pub(crate) fn error(status: StatusCode, sentence: &str) -> Self {
        Self {
            status,
            content_type: JSON,
            body: serde_json::json!({ "error": sentence }).to_string().into(),
        }
    }

    pub(crate) fn response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, POST, PUT, DELETE"));
        }
        response
    }
}

const JSON: &str = "application/json";
