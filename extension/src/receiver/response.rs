//! The answers to OTLP requests, in the encoding of the request.
//!
//! Source: OTLP 1.x, "OTLP/HTTP Response": 200 with an `Export…ServiceResponse`, else a `google.rpc.Status`; 503 and
//! `Retry-After` where the request may be sent again.

use super::body::ACCEPTED;
use crate::http::{self, Answer};
use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER};
use serde_json::json;
use wire::SignalKind;
use wire::protobuf::Writer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    /// Parses a content type, without its parameters.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/x-protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("cannot read the request: {0}")]
    Invalid(String),
    #[error("OTLP is received at /v1/traces, /v1/metrics and /v1/logs")]
    UnknownPath,
    #[error("only POST is received here")]
    WrongMethod,
    #[error("the request is larger than {max_bytes} bytes")]
    TooLarge { max_bytes: usize },
    #[error("the request is incomplete: its client disconnected or stopped sending")]
    BrokenOff,
    #[error("the content type is neither application/x-protobuf nor application/json")]
    ContentType,
    #[error("the content encoding is not one of {ACCEPTED}")]
    ContentEncoding,
    #[error("the extension is full, send again")]
    Full,
    #[error("OTLP is received by Export of TraceService, MetricsService and LogsService")]
    UnknownCall,
    #[error("the grpc-encoding is not one of {ACCEPTED}")]
    GrpcEncoding,
}

impl Refusal {
    /// Returns `true` if a repetition may succeed.
    pub(super) const fn may_be_sent_again(&self) -> bool {
        matches!(self, Self::Full | Self::BrokenOff)
    }

    /// Returns the HTTP status and the `google.rpc.Code`. Only temporary refusals have retryable codes: Python's SDK would repeat
    /// a too large request for ten seconds after RESOURCE_EXHAUSTED (8).
    pub(super) const fn codes(&self) -> (StatusCode, u64) {
        match self {
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, 3),
            Self::UnknownPath => (StatusCode::NOT_FOUND, 5),
            Self::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, 12),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, 3),
            Self::ContentType | Self::ContentEncoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, 3),
            Self::Full | Self::BrokenOff => (StatusCode::SERVICE_UNAVAILABLE, 14),
            Self::UnknownCall | Self::GrpcEncoding => (StatusCode::OK, 12),
        }
    }
}

/// The reason of rejected items in an accepted request.
const REJECTED: &str = "larger than a log event even with shortened attribute values";

/// Makes the answer to an accepted request. `rejected` items were too large for a line.
pub(crate) fn accepted(encoding: Encoding, kind: SignalKind, rejected: usize) -> Answer {
    let body = match (encoding, rejected) {
        (Encoding::Protobuf, _) => export_response(rejected),
        (Encoding::Json, 0) => b"{}".to_vec(),
        (Encoding::Json, _) => {
            let key = match kind {
                SignalKind::Traces => "rejectedSpans",
                SignalKind::Metrics => "rejectedDataPoints",
                SignalKind::Logs => "rejectedLogRecords",
            };
            // 64-bit integers are strings in OTLP/JSON.
            let rejected = rejected.to_string();
            let partial = json!({"partialSuccess": {key: rejected, "errorMessage": REJECTED}});
            partial.to_string().into_bytes()
        }
    };
    http::answer(StatusCode::OK, encoding.content_type(), body)
}

/// Makes an `Export…ServiceResponse`, which is the same for all signals.
pub(super) fn export_response(rejected: usize) -> Vec<u8> {
    let mut body = Vec::new();
    if rejected > 0 {
        Writer::new(&mut body).message(1, |partial| {
            partial.varint(1, rejected as u64);
            partial.string(2, REJECTED);
        });
    }
    body
}

pub(crate) fn refused(encoding: Encoding, refusal: &Refusal) -> Answer {
    let (status, code) = refusal.codes();
    let message = refusal.to_string();
    let body = match encoding {
        Encoding::Json => json!({"code": code, "message": message}).to_string().into_bytes(),
        Encoding::Protobuf => {
            let mut body = Vec::new();
            let mut out = Writer::new(&mut body);
            out.varint(1, code);
            out.string(2, &message);
            body
        }
    };
    let mut answer = http::answer(status, encoding.content_type(), body);
    let header = match refusal {
        // At once: a whole second within an invocation is the function's.
        Refusal::Full => Some((RETRY_AFTER, HeaderValue::from_static("0"))),
        Refusal::WrongMethod => Some((ALLOW, HeaderValue::from_static("POST"))),
        _ => None,
    };
    answer.headers_mut().extend(header);
    answer
}
