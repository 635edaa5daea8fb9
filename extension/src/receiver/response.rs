//! What a sender of OTLP is told, in the encoding of its request.
//!
//! Source: OTLP 1.x, "OTLP/HTTP Response": 200 with an `Export…ServiceResponse`, else a `google.rpc.Status`; 503 and
//! `Retry-After` where the request may be sent again.

use crate::http::HttpResponse;
use crate::json;
use hyper::StatusCode;
use hyper::header::{ALLOW, RETRY_AFTER};
use wire::SignalKind;
use wire::protobuf::Writer;

/// How the request was encoded, and so its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    /// By the content type, its parameters left aside.
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

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("cannot read the request: {0}")]
    Invalid(String),
    #[error("OTLP is received at /v1/traces, /v1/metrics and /v1/logs")]
    UnknownPath,
    #[error("only POST is received here")]
    WrongMethod,
    #[error("the request is larger than {max_bytes} bytes")]
    TooLarge { max_bytes: usize },
    #[error("the content type is neither application/x-protobuf nor application/json")]
    ContentType,
    #[error("the content encoding is neither gzip nor identity")]
    ContentEncoding,
    #[error("the extension is full, send again")]
    Full,
}

impl Refusal {
    /// The HTTP status, and the code of `google.rpc.Code`.
    const fn codes(&self) -> (StatusCode, u64) {
        match self {
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, 3),
            Self::UnknownPath => (StatusCode::NOT_FOUND, 5),
            Self::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, 12),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, 3),
            Self::ContentType | Self::ContentEncoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, 3),
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, 14),
        }
    }
}

/// The answer to a request that was taken; `rejected` of its items fit no line.
pub(crate) fn accepted(encoding: Encoding, kind: SignalKind, rejected: usize) -> HttpResponse {
    const REASON: &str = "larger than a log event even with shortened attribute values";
    let body = match (encoding, rejected) {
        (Encoding::Protobuf, 0) => Vec::new(),
        (Encoding::Json, 0) => b"{}".to_vec(),
        (Encoding::Protobuf, _) => {
            let mut body = Vec::new();
            Writer::new(&mut body).message(1, |partial| {
                partial.varint(1, rejected as u64);
                partial.string(2, REASON);
            });
            body
        }
        (Encoding::Json, _) => {
            let key = match kind {
                SignalKind::Traces => "rejectedSpans",
                SignalKind::Metrics => "rejectedDataPoints",
                SignalKind::Logs => "rejectedLogRecords",
            };
            // 64-bit integers are strings in OTLP/JSON.
            let rejected = json::string(&rejected.to_string());
            let partial =
                json::object(&[(key, &rejected), ("errorMessage", &json::string(REASON))]);
            json::object(&[("partialSuccess", &partial)]).into_bytes()
        }
    };
    HttpResponse::new(StatusCode::OK, encoding.content_type(), body)
}

/// The answer to a request of which nothing was taken.
pub(crate) fn refused(encoding: Encoding, refusal: &Refusal) -> HttpResponse {
    let (status, code) = refusal.codes();
    let message = refusal.to_string();
    let body = match encoding {
        Encoding::Json => {
            let (code, message) = (code.to_string(), json::string(&message));
            json::object(&[("code", &code), ("message", &message)]).into_bytes()
        }
        Encoding::Protobuf => {
            let mut body = Vec::new();
            let mut out = Writer::new(&mut body);
            out.varint(1, code);
            out.string(2, &message);
            body
        }
    };
    let mut answer = HttpResponse::new(status, encoding.content_type(), body);
    answer.header = match refusal {
        // At once: a whole second within an invocation is the function's.
        Refusal::Full => Some((RETRY_AFTER, "0")),
        Refusal::WrongMethod => Some((ALLOW, "POST")),
        _ => None,
    };
    answer
}
