//! Bodies of requests and responses of the Runtime API and the invoke endpoint.

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

pub(crate) type Answer = Response<Full<Bytes>>;

/// The reason why a body could not be read.
pub(crate) enum BodyError {
    TooLarge,
    BrokenOff,
}

/// Reads a whole body. If it is larger than `max_bytes`, the rest is read and thrown away, up to eight times the
/// limit: a client that is still writing would see a reset connection instead of the answer.
pub(crate) async fn read_body(mut body: Incoming, max_bytes: usize) -> Result<Bytes, BodyError> {
    let mut bytes = BytesMut::new();
    let mut refused_bytes = 0_usize;
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| BodyError::BrokenOff)?.into_data() {
            Ok(data) if refused_bytes == 0 && bytes.len() + data.len() <= max_bytes => {
                bytes.extend_from_slice(&data);
            }
            Ok(data) => {
                refused_bytes += data.len();
                if refused_bytes > max_bytes.saturating_mul(8) {
                    break;
                }
            }
            Err(_trailers) => {}
        }
    }
    if refused_bytes > 0 { Err(BodyError::TooLarge) } else { Ok(bytes.freeze()) }
}

pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    with(answer, "content-type", "application/json")
}

/// Adds a header. A value that cannot be sent is left out.
pub(crate) fn with(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    if let (Ok(name), Ok(value)) =
        (name.parse::<HeaderName>(), HeaderValue::from_bytes(value.as_bytes()))
    {
        answer.headers_mut().insert(name, value);
    }
    answer
}

pub(crate) fn accepted() -> Answer {
    json(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
}

pub(crate) fn not_found() -> Answer {
    error(StatusCode::NOT_FOUND, "NotFound", "no such path")
}

/// An error in the form that the Runtime API and the invoke endpoint give it.
pub(crate) fn error(status: StatusCode, error_type: &str, message: &str) -> Answer {
    json(status, error_body(error_type, message))
}

pub(crate) fn error_body(error_type: &str, message: &str) -> String {
    serde_json::json!({ "errorType": error_type, "errorMessage": message }).to_string()
}
