//! The next step for a request after its response.

use super::Reason;
use std::time::Duration;

/// The next step for a request after its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The backend accepted all items. The text is its warning.
    Accepted {
        /// The backend's text; empty without a warning.
        warning: String,
    },
    /// The backend accepted all items but these, which must not be sent again (OTLP "Partial Success").
    Partial {
        /// Number of rejected items, at most the number sent.
        rejected: usize,
        reason: Reason,
    },
    /// Retry after `after` at the earliest; finally queue for retry.
    Retry {
        /// The `Retry-After` of the response.
        after: Option<Duration>,
        /// `true` if the backend may have stored the items.
        ambiguous: bool,
        reason: Reason,
    },
    /// The backend answered but wrote nothing: send once more, then halve.
    OnceMore { reason: Reason },
    /// Queue for retry and alert a person: every request fails until a setting changes.
    Alarm {
        /// `true` if the backend may have stored the items.
        ambiguous: bool,
        reason: Reason,
    },
    /// The request is too large: split it by size.
    Split { reason: Reason },
    /// The backend refuses something in the request: halve it until the refused record is alone.
    Halve { reason: Reason },
}
