//! What to do with a request after the response to it.

use super::Reason;
use std::time::Duration;

/// What to do with the request that the backend responded to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The backend has all items. The text is its warning, if it gave one.
    Accepted {
        /// In the backend's words; empty for none.
        warning: String,
    },
    /// The backend has all items but these. They must not be sent again (OTLP "Partial Success").
    Partial {
        /// How many were rejected, at most as many as were sent.
        rejected: usize,
        /// Why.
        reason: Reason,
    },
    /// Send again, not before `after`; then park.
    Retry {
        /// What `Retry-After` asks for.
        after: Option<Duration>,
        /// Whether the backend may have stored the items all the same.
        ambiguous: bool,
        /// Why.
        reason: Reason,
    },
    /// The backend took the request and wrote nothing: send it once more, then halve it.
    OnceMore {
        /// Why.
        reason: Reason,
    },
    /// Park and tell a person: no request will be taken until a setting changes.
    Alarm {
        /// Whether the backend may have stored the items all the same.
        ambiguous: bool,
        /// Why.
        reason: Reason,
    },
    /// The request is too large: split it by bytes.
    Split {
        /// Why.
        reason: Reason,
    },
    /// Something in the request is refused: halve it, until the record that is refused stays alone.
    Halve {
        /// Why.
        reason: Reason,
    },
}
