//! The reason of a failure, in words for a person.

use crate::http::{GRPC_STATUS_TEXT, PERHAPS_TLS, TransportError};
use std::fmt;

/// The last failure of a request.
///
/// Texts of the backend are cut, on one line, and contain no header value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The backend answered with this status.
    Status {
        status: u16,
        /// An excerpt of its body.
        text: String,
        /// The remedy; empty if there is no specific one.
        hint: &'static str,
    },
    /// The backend answered 2xx and wrote nothing: OpenObserve's answer for logs if the disk is full, a request has more than
    /// 1,000 columns, or a column gets another type from the same time on as its stream.
    NothingWritten,
    /// The response does not come from an OTLP backend, for example a proxy's page.
    NoOtlpAnswer {
        status: u16,
        /// The problem with the response.
        text: &'static str,
    },
    /// The backend accepted the request and rejected some items (`partial_success`).
    Rejected {
        /// An excerpt of the backend's reason.
        text: String,
    },
    /// There was no response.
    NoAnswer(TransportError),
    /// The backend crashed on this content again and again, although it answered an empty request meanwhile.
    CrashesOnContent {
        /// The last failure.
        failure: Box<Reason>,
    },
    /// The deadline passed before the request was sent.
    Deadline,
    /// The credentials could not be read, so nothing was sent.
    Credentials {
        /// The secret, the reason and the remedy.
        text: String,
    },
    /// No setting names the request's destination any more.
    UnknownDestination { text: String },
    /// Not sent, because the backend discards records of this age.
    OutsideWindow,
    /// Not sent, because a trace id or span id is invalid (OTLP, `trace.proto`).
    InvalidIds,
    /// Not sent, because earlier deliveries failed and the next attempt is not due.
    ParkedAtOnce {
        /// The failure of the earlier deliveries.
        text: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, text, hint } => {
                // The HTTP status of an answer by gRPC is ours.
                let own = (!text.starts_with(GRPC_STATUS_TEXT)).then(|| named(*status));
                let all = [own.as_deref().unwrap_or_default(), text, hint];
                let parts: Vec<&str> = all.into_iter().filter(|part| !part.is_empty()).collect();
                write!(f, "answered {}", parts.join(": "))
            }
            Self::NothingWritten => {
                f.write_str("answered 200 but wrote nothing: disk full, more than 1000 distinct fields in a request, or a field whose type changed (`UNIQUE constraint failed` in OpenObserve's log)")
            }
            Self::NoOtlpAnswer { status, text } => {
                write!(f, "answered {} with {text}: is the endpoint right?", named(*status))
            }
            Self::Rejected { text } if text.is_empty() => f.write_str("rejected without a reason"),
            Self::Rejected { text } => write!(f, "rejected: {text}"),
            Self::NoAnswer(error) => write!(f, "{error}"),
            Self::CrashesOnContent { failure } => {
                let failure = failure.to_string();
                // The backend answered an empty request, so the port is right.
                let failure = failure.strip_suffix(PERHAPS_TLS).unwrap_or(&failure);
                write!(
                    f,
                    "{failure}, again and again, while an empty request is answered: does the backend crash on this content?"
                )
            }
            Self::Deadline => f.write_str("not sent: the deadline has passed"),
            Self::Credentials { text } => write!(f, "not sent: no credentials: {text}"),
            Self::UnknownDestination { text } => write!(f, "not sent: {text}"),
            Self::OutsideWindow => f.write_str(
                "not sent: outside the backend's ingest window (LAMBDA_OTLP_INGEST_WINDOW)",
            ),
            Self::InvalidIds => f.write_str(
                "not sent: a trace id must have 16 bytes and a span id 8, not all of them zero; check the function's tracer",
            ),
            Self::ParkedAtOnce { text } => write!(f, "not sent, queued for retry at once: {text}"),
        }
    }
}

impl Reason {
    /// Returns `true` if the backend refused the credentials, so that others may succeed.
    pub fn refuses_credentials(&self) -> bool {
        matches!(self, Self::Status { status: 401 | 403, .. })
    }

    /// Returns `true` if the backend has nothing at the URL of this signal. It may have the others.
    pub fn finds_nothing(&self) -> bool {
        matches!(self, Self::Status { status: 404 | 405, .. })
            || matches!(self, Self::Status { status: 400, text, .. } if names_an_unknown_path(text))
    }

    /// Returns `true` if the backend refused the content, so that parts of the request may succeed.
    pub fn refuses_content(&self) -> bool {
        match self {
            // A hint blames a setting.
            Self::Status { status: 400, text, hint } => hint.is_empty() && !is_temporary(text),
            Self::Status { status: 413 | 422, .. }
            | Self::NothingWritten
            | Self::CrashesOnContent { .. } => true,
            _ => false,
        }
    }

    /// The failure itself, without the suspicion that the content causes it.
    pub(crate) fn without_suspicion(self) -> Self {
        match self {
            Self::CrashesOnContent { failure } => *failure,
            other => other,
        }
    }

    pub(crate) fn column_limit(&self) -> Option<usize> {
        let Self::Status { status: 400, text, .. } = self else { return None };
        let (_, limit) = text.split_once("only ")?;
        let (limit, _) = limit.split_once(" columns")?;
        limit.parse().ok()
    }

    /// Returns `true` if the backend counts too many columns. For a single record this blames the record.
    pub(crate) fn names_columns(&self) -> bool {
        matches!(self, Self::Status { status: 400, text, .. } if names_columns(text))
    }
}

/// VictoriaMetrics 1.112 answers 400 for a path that it lacks: `unsupported path requested: "/opentelemetry/v1/traces"`.
pub(super) fn names_an_unknown_path(text: &str) -> bool {
    text.contains("unsupported path")
}

/// Returns `true` if the text of a 400 names a temporary state of the server rather than a mistake in the request.
pub(super) fn is_temporary(text: &str) -> bool {
    names_a_temporary_state(text) && !names_columns(text)
}

/// OpenObserve answers 400 also for a full memory table, disk or database, and for logs of a stream under deletion (`stream
/// [orders] is being deleted`). The records are not at fault.
fn names_a_temporary_state(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["memtable", "memorytable", "disk", "database", "quota", "] is being deleted"]
        .iter()
        .any(|state| text.contains(state))
}

/// `Got 1018 columns for stream [default], but only 1000 columns accept`. Stream names contain no space.
fn names_columns(text: &str) -> bool {
    text.contains(" columns")
}

/// `503 Service Unavailable`
fn named(status: u16) -> String {
    let name = http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason());
    name.map_or_else(|| status.to_string(), |name| format!("{status} {name}"))
}
