//! OpenObserve's checks before it reads a body: encoding, authorization, organization, content type, size.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

use crate::openobserve::Signal;
use crate::openobserve::builder::Config;
use crate::openobserve::http_response::HttpResponse;
use crate::openobserve::route::{Target, unknown_organization};

/// More bytes than this after a gzip member are noticed, fewer are lost without a word. Measured: 600 kB are lost.
const LARGEST_UNNOTICED_REST: usize = 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

impl Encoding {
    /// Names are compared exactly: `GZIP` and `x-gzip` are 415 with an empty body. OpenObserve also
    /// takes `br`, the sink does not.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, HttpResponse> {
        match headers.get(CONTENT_ENCODING).map(http::HeaderValue::as_bytes) {
            None | Some(b"identity") => Ok(Self::Identity),
            Some(b"gzip") => Ok(Self::Gzip),
            Some(b"deflate") => Ok(Self::Deflate),
            Some(_) => Err(HttpResponse::empty(415)),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Inflated {
    pub(crate) body: Bytes,
    /// The bytes after the first gzip member, which OpenObserve ignores.
    pub(crate) rest: usize,
}

/// The limit counts inflated bytes.
pub(crate) fn inflate(
    encoding: Encoding,
    encoded: &Bytes,
    limit: usize,
) -> Result<Inflated, HttpResponse> {
    if encoded.is_empty() {
        return Ok(Inflated::default());
    }
    let mut inflated = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut input: &[u8] = encoded;
    let read = match encoding {
        Encoding::Identity => {
            if encoded.len() > limit {
                return Err(HttpResponse::too_large());
            }
            return Ok(Inflated { body: encoded.clone(), rest: 0 });
        }
        // Only the first member is decoded, as in tower-http; hence not a MultiGzDecoder.
        Encoding::Gzip => {
            #[expect(
                clippy::disallowed_types,
                reason = "bounded by take; the sink must not share wire's inflate"
            )]
            let mut decoder = flate2::bufread::GzDecoder::new(&mut input);
            (&mut decoder).take(bound).read_to_end(&mut inflated)
        }
        Encoding::Deflate => {
            flate2::bufread::ZlibDecoder::new(&mut input).take(bound).read_to_end(&mut inflated)
        }
    };
    if let Err(error) = read {
        let reason = match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "unexpected end of file".to_owned(),
            _ => error.to_string(),
        };
        return Err(HttpResponse::text(
            400,
            format!("Failed to buffer the request body: {reason}"),
        ));
    }
    if inflated.len() > limit {
        return Err(HttpResponse::too_large());
    }
    let rest = input.len();
    if rest > LARGEST_UNNOTICED_REST {
        let reason = "there are extra bytes after body has been decompressed";
        return Err(HttpResponse::text(
            400,
            format!("Failed to buffer the request body: {reason}"),
        ));
    }
    Ok(Inflated { body: inflated.into(), rest })
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
    let credentials = authorization.strip_prefix("Basic ");
    let credentials = credentials.and_then(|encoded| STANDARD.decode(encoded).ok());
    let is_user = |credentials| config.users.iter().any(|user| user.as_bytes() == credentials);
    if credentials.is_some_and(|credentials: Vec<u8>| is_user(credentials)) {
        return Ok(());
    }
    let reply = HttpResponse::text(401, "Unauthorized Access");
    Err(reply.with_header("www-authenticate", "Bearer realm=\"openobserve\""))
}

pub(crate) fn organization(config: &Config, target: &Target) -> Result<(), HttpResponse> {
    let is_known = config.organizations.iter().any(|known| known == target.organization());
    if is_known || !config.strict_organizations { Ok(()) } else { Err(unknown_organization()) }
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
