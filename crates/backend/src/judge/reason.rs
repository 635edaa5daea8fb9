//! Why a request was not taken, in words for a person.

use crate::http::TransportError;
use std::fmt;

/// What happened to a request last.
///
/// Texts that come from the backend are cut, on one line, and hold no header value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The backend answered with this status.
    Status {
        /// The HTTP status.
        status: u16,
        /// What its body says, cut.
        text: String,
        /// What a person can do about it; empty where there is nothing in particular.
        hint: &'static str,
    },
    /// The backend answered 2xx and wrote nothing: OpenObserve's logs answer for a full disk, and for more than 1,000
    /// columns.
    NothingWritten,
    /// The response is none that an OTLP backend gives, such as a page of a proxy.
    NoOtlpAnswer {
        /// The HTTP status.
        status: u16,
        /// What is odd about it.
        text: &'static str,
    },
    /// The backend took the request and rejected some of its items (`partial_success`).
    Rejected {
        /// Why, in the backend's words, cut.
        text: String,
    },
    /// There was no response.
    NoAnswer(TransportError),
    /// The deadline had come before the request could be sent.
    Deadline,
    /// The credentials could not be read, so nothing was sent.
    Credentials {
        /// Which secret, why, and what to do about it.
        text: String,
    },
    /// No setting names the request's destination any more.
    UnknownDestination {
        /// Which destination it is, and what to do.
        text: String,
    },
    /// Not sent: the backend discards records of this age.
    OutsideWindow,
    /// Not sent: a trace id or span id is invalid (OTLP, `trace.proto`).
    InvalidIds,
    /// Nothing was sent: earlier deliveries failed, and it is not yet time to try again.
    ParkedAtOnce {
        /// How the deliveries before failed.
        text: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, text, hint } => {
                write!(f, "answered {}", named(*status))?;
                for part in [text.as_str(), hint].into_iter().filter(|part| !part.is_empty()) {
                    write!(f, ": {part}")?;
                }
                Ok(())
            }
            Self::NothingWritten => {
                f.write_str("answered 200 but wrote nothing: disk full, or more than 1000 distinct fields in a request")
            }
            Self::NoOtlpAnswer { status, text } => {
                write!(f, "answered {} with {text}: is the endpoint right?", named(*status))
            }
            Self::Rejected { text } if text.is_empty() => f.write_str("rejected without a reason"),
            Self::Rejected { text } => write!(f, "rejected: {text}"),
            Self::NoAnswer(error) => write!(f, "{error}"),
            Self::Deadline => f.write_str("not sent: the deadline had come"),
            Self::Credentials { text } => write!(f, "not sent: no credentials: {text}"),
            Self::UnknownDestination { text } => write!(f, "not sent: {text}"),
            Self::OutsideWindow => f.write_str(
                "not sent: outside the time that the backend takes records of (LAMBDA_OTLP_INGEST_WINDOW)",
            ),
            Self::InvalidIds => f.write_str(
                "not sent: a trace id must have 16 bytes and a span id 8, not all of them zero; check the function's tracer",
            ),
            Self::ParkedAtOnce { text } => write!(f, "not sent, parked at once: {text}"),
        }
    }
}

impl Reason {
    /// Whether the backend refused the credentials: others may be taken.
    pub fn refuses_credentials(&self) -> bool {
        matches!(self, Self::Status { status: 401 | 403, .. })
    }

    /// Whether the backend refused the content of a request: parts of it may be taken.
    pub fn refuses_content(&self) -> bool {
        match self {
            Self::Status { status: 400, text, .. } => !is_temporary(text),
            Self::Status { status: 413 | 422, .. } | Self::NothingWritten => true,
            _ => false,
        }
    }

    /// Whether a request with fewer columns may be taken: OpenObserve refuses too many with a 400 that names them, and for
    /// logs by writing nothing, which may have another cause.
    pub(crate) fn may_mean_columns(&self) -> bool {
        match self {
            Self::NothingWritten => true,
            _ => self.names_columns(),
        }
    }

    /// The most columns that the backend takes, where it says so.
    pub(crate) fn column_limit(&self) -> Option<usize> {
        let Self::Status { status: 400, text, .. } = self else { return None };
        let (_, limit) = text.split_once("only ")?;
        let (limit, _) = limit.split_once(" columns")?;
        limit.parse().ok()
    }

    /// Whether the backend says that the request has too many columns, which is said of a single record only where it is at fault.
    pub(crate) fn names_columns(&self) -> bool {
        matches!(self, Self::Status { status: 400, text, .. } if names_columns(text))
    }
}

/// Returns `true` if the text of a 400 names a temporary state of the server rather than a mistake in the request.
pub(super) fn is_temporary(text: &str) -> bool {
    names_a_temporary_state(text) && !names_columns(text)
}

/// OpenObserve answers 400 for a full memory table, disk or database too, and for logs of a stream that it deletes
/// (`stream [orders] is being deleted`); the records are not at fault.
fn names_a_temporary_state(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["memtable", "memorytable", "disk", "database", "quota", "] is being deleted"]
        .iter()
        .any(|state| text.contains(state))
}

/// `Got 1018 columns for stream [default], but only 1000 columns accept`; the name of a stream has no space.
fn names_columns(text: &str) -> bool {
    text.contains(" columns")
}

/// `503 Service Unavailable`
fn named(status: u16) -> String {
    let name = http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason());
    name.map_or_else(|| status.to_string(), |name| format!("{status} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_sentences() {
        let check = |reason: Reason, expected| assert_eq!(reason.to_string(), expected);
        let status =
            |status, text: &str, hint| Reason::Status { status, text: text.to_owned(), hint };
        check(status(503, "full", ""), "answered 503 Service Unavailable: full");
        check(status(599, "", "wait"), "answered 599: wait");
        check(Reason::Rejected { text: "too old".to_owned() }, "rejected: too old");
        check(
            Reason::NoOtlpAnswer { status: 200, text: "an HTML page" },
            "answered 200 OK with an HTML page: is the endpoint right?",
        );
        check(Reason::Deadline, "not sent: the deadline had come");
        let text = "secret o2 not found".to_owned();
        check(Reason::Credentials { text }, "not sent: no credentials: secret o2 not found");
        let text = "answered 503".to_owned();
        check(Reason::ParkedAtOnce { text }, "not sent, parked at once: answered 503");
    }
}
