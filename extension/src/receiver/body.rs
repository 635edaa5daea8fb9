//! Decodes the body of a request, within a bound of memory.

use super::compression::ContentCoding;
use super::message;
use super::response::{Encoding, Refusal};
use wire::gzip::InflateError;
use wire::{Limits, Request, SignalKind};

/// The format of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) encoding: Encoding,
    pub(crate) compression: ContentCoding,
    pub(crate) framing: Framing,
}

/// The framing of a request in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// None.
    None,
    /// One gRPC message.
    Message,
}

impl Framing {
    /// Returns the number of bytes before the request.
    pub(super) const fn prefix_bytes(self) -> usize {
        match self {
            Self::None => 0,
            Self::Message => message::PREFIX_BYTES,
        }
    }

    /// Refuses a body that announces too large a message.
    pub(super) fn check(self, begun: &[u8], max_bytes: usize) -> Result<(), Refusal> {
        match self {
            Self::None => Ok(()),
            Self::Message => message::check(begun, max_bytes),
        }
    }
}

/// Inflates, reads and checks a body.
pub(crate) fn read(
    kind: SignalKind,
    format: Format,
    body: Vec<u8>,
    max_bytes: usize,
) -> Result<Request, Refusal> {
    let (compression, body) = match format.framing {
        Framing::None => (format.compression, body),
        Framing::Message => message::content(body, format.compression)?,
    };
    let body = compression.inflate(body, max_bytes).map_err(|error| match error {
        InflateError::TooLarge { max_bytes } => Refusal::TooLarge { max_bytes },
        InflateError::EndsEarly => {
            Refusal::Invalid(format!("the {} stream ends early", compression.name()))
        }
        _ => Refusal::Invalid(format!("the {} stream is corrupt", compression.name())),
    })?;
    let limits = Limits { inflated_bytes: max_bytes, ..Limits::default() };
    match format.encoding {
        Encoding::Protobuf => match Request::other_signal(kind, &body, &limits) {
            Some(other) => Err(holds_other(other)),
            None => Request::check_repairing(kind, body, &limits)
                .map_err(|error| Refusal::Invalid(error.to_string())),
        },
        Encoding::Json => {
            let read = |kind| Request::from_json(kind, &body, &limits);
            let request = read(kind).map_err(|error| Refusal::Invalid(error.to_string()))?;
            // Unknown keys are ignored, so another signal's content would be lost silently.
            let is_of = |other: &SignalKind| {
                // Only bodies that can contain other signals are read again.
                names(&body, *other) && read(*other).is_ok_and(|other| other.items() > 0)
            };
            match SignalKind::ALL.iter().find(|other| request.items() == 0 && is_of(other)) {
                Some(other) => Err(holds_other(*other)),
                None => Ok(request),
            }
        }
    }
}

/// Reads a body like the receivers, for the fuzz targets.
pub fn read_body(
    kind: SignalKind,
    content_type: &str,
    content_encoding: &str,
    is_grpc: bool,
    body: Vec<u8>,
    max_bytes: usize,
) -> Result<Request, String> {
    let format = Format {
        encoding: Encoding::of(content_type).ok_or("unknown content type")?,
        compression: ContentCoding::of(Some(content_encoding)).ok_or("unknown content encoding")?,
        framing: if is_grpc { Framing::Message } else { Framing::None },
    };
    read(kind, format, body, max_bytes).map_err(|refusal| refusal.to_string())
}

/// Returns `true` if the text contains this signal's key in JSON.
fn names(body: &[u8], kind: SignalKind) -> bool {
    let keys = match kind {
        SignalKind::Traces => ["resourceSpans", "resource_spans"],
        SignalKind::Metrics => ["resourceMetrics", "resource_metrics"],
        SignalKind::Logs => ["resourceLogs", "resource_logs"],
    };
    std::str::from_utf8(body).is_ok_and(|text| keys.iter().any(|key| text.contains(key)))
}

fn holds_other(other: SignalKind) -> Refusal {
    Refusal::Invalid(format!("the body holds {other}, which are received at {}", other.path()))
}
