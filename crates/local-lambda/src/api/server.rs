//! Bodies of requests and responses of the Runtime API and the invoke endpoint.

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

pub(crate) enum Unread {
    TooLarge,
    BrokenOff,
}

/// Reads a whole body. If it is larger than `max_bytes`, the rest is read and thrown away, up to eight times the
/// limit: a client that is still writing would see a reset connection instead of the answer.
pub(crate) async fn read_body(mut body: Incoming, max_bytes: usize) -> Result<Bytes, Unread> {
    let mut bytes = BytesMut::new();
    let mut refused_bytes = 0_usize;
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| Unread::BrokenOff)?.into_data() {
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
    if refused_bytes > 0 { Err(Unread::TooLarge) } else { Ok(bytes.freeze()) }
}

pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    answer
}

/// An error in the form that the Runtime API and the invoke endpoint give it.
pub(crate) fn error(status: StatusCode, error_type: &str, message: &str) -> Response<Full<Bytes>> {
    json(
        status,
        serde_json::json!({ "errorType": error_type, "errorMessage": message }).to_string(),
    )
}
