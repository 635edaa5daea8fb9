//! A response of the fake before it is written: status, headers, body.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};

pub(super) const PROTOBUF: &str = "application/x-protobuf";
pub(super) const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// The bytes of an answer with an empty `partial_success`, which says nothing and means that the write failed.
pub(super) const WRITE_FAILED: &[u8] = &[0x0a, 0x00];

#[derive(Clone, Debug, Default)]
pub(super) struct HttpResponse {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
    /// `true` if the connection is closed instead.
    pub(super) closes: bool,
}

impl HttpResponse {
    /// The end of a connection whose handler panicked.
    pub(super) fn panicked() -> Self {
        Self { closes: true, ..Self::default() }
    }

    /// A status that cannot be sent becomes 500.
    pub(super) fn empty(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, ..Self::default() }
    }

    pub(super) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut reply = Self::empty(status);
        reply.headers.push((CONTENT_TYPE, HeaderValue::from_static(content_type)));
        reply.body = body.into();
        reply
    }

    pub(super) fn text(status: u16, text: impl Into<Bytes>) -> Self {
        Self::new(status, TEXT, text)
    }

    pub(super) fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::new(status, JSON, value.to_string())
    }

    pub(super) fn error(status: u16, message: &str) -> Self {
        Self::json(status, &serde_json::json!({"code": status, "message": message}))
    }

    /// A header that cannot be sent is left out.
    pub(super) fn with_header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            self.headers.push((name, value));
        }
        self
    }

    pub(super) fn too_large() -> Self {
        Self::text(413, "Failed to buffer the request body: length limit exceeded")
    }

    pub(super) fn write_failed() -> Self {
        Self::new(200, PROTOBUF, WRITE_FAILED)
    }
}
