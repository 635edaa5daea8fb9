//! OpenObserve's checks before it reads a body: encoding, authorization, organization, content type, size.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

use crate::openobserve::Signal;
use crate::openobserve::builder::Config;
use crate::openobserve::http_response::HttpResponse;
use crate::openobserve::route::Target;

/// Returns `true` if the body is gzip. Names are compared exactly: `GZIP` and `x-gzip` are 415 with an empty body. OpenObserve also
/// takes `br` and `deflate`, the fake does not.
pub(crate) fn is_gzip(headers: &HeaderMap) -> Result<bool, HttpResponse> {
    match headers.get(CONTENT_ENCODING).map(http::HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(_) => Err(HttpResponse::empty(415)),
    }
}

/// The limit counts inflated bytes. Only the first gzip member is decoded, as OpenObserve does; hence not a `MultiGzDecoder`.
pub(crate) fn inflate(is_gzip: bool, encoded: &Bytes, limit: usize) -> Result<Bytes, HttpResponse> {
    let mut inflated = Vec::new();
    if is_gzip && !encoded.is_empty() {
        let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        #[expect(
            clippy::disallowed_types,
            reason = "bounded by take; the fake must not share wire's inflate"
        )]
        let decoder = flate2::bufread::GzDecoder::new(&encoded[..]);
        decoder.take(bound).read_to_end(&mut inflated).map_err(|error| {
            HttpResponse::text(400, format!("Failed to buffer the request body: {error}"))
        })?;
    }
    let body = if is_gzip { inflated.into() } else { encoded.clone() };
    if body.len() > limit { Err(HttpResponse::too_large()) } else { Ok(body) }
}

pub(crate) fn authorize(config: &Config, headers: &HeaderMap) -> Result<(), HttpResponse> {
    if config.users.is_empty() {
        return Ok(());
    }
    let Some(authorization) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok())
    else {
        return Err(HttpResponse::error(401, "Unauthorized Access"));
    };
    if authorization.starts_with("Bearer ") {
        return Err(HttpResponse::text(401, "Not Supported"));
    }
    let credentials =
        authorization.strip_prefix("Basic ").and_then(|encoded| STANDARD.decode(encoded).ok());
    let is_user = |credentials| config.users.iter().any(|user| user.as_bytes() == credentials);
    if credentials.is_some_and(|credentials: Vec<u8>| is_user(credentials)) {
        return Ok(());
    }
    let reply = HttpResponse::text(401, "Unauthorized Access");
    Err(reply.with_header("www-authenticate", "Bearer realm=\"openobserve\""))
}

/// Returns `true` if the body is JSON. Logs compare the whole value; traces and metrics accept parameters after JSON;
/// all three refuse `application/protobuf`, parameters after protobuf, and a missing content type.
pub(crate) fn content_type(headers: &HeaderMap, target: &Target) -> Result<bool, HttpResponse> {
    let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], http::HeaderValue::as_bytes);
    match (content_type, target.signal()) {
        (_, None) | (b"application/json", _) => Ok(true),
        (b"application/x-protobuf", _) => Ok(false),
        (json, Some(Signal::Traces | Signal::Metrics)) if json.starts_with(b"application/json") => {
            Ok(true)
        }
        _ => Err(HttpResponse::error(400, "Bad Request")),
    }
}
