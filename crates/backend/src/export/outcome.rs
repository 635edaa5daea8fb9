//! The fate of each item of a request.

use crate::judge::Reason;
use std::ops::AddAssign;
use std::time::Duration;
use wire::Request;

/// The account of one export: `accepted` and the items of `parts` add up to the items of the request.
#[must_use = "unaccepted telemetry must be queued for retry, dead-lettered or returned"]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    pub accepted: usize,
    /// The items the backend did not accept, in pieces that never overlap.
    pub parts: Vec<UndeliveredPart>,
    /// Number of items that the backend may have stored although an answer was missing, unreadable, or reported that nothing was
    /// written, whether a later request was accepted or not. Only these items can be stored twice.
    pub ambiguous_items: usize,
    /// Number of HTTP requests, retries included.
    pub requests_sent: usize,
    /// Total size of the request bodies as sent, in bytes.
    pub bytes_sent: usize,
    /// New warnings of accepted requests; empty if there were none.
    pub warning: String,
    /// `Retry-After` of the last response that asked for a retry.
    pub retry_after: Option<Duration>,
}

impl Outcome {
    /// The account of a request that was not sent.
    pub fn unsent(request: Request, reason: Reason, fate: Fate) -> Self {
        let items = request.items();
        let whole = (items > 0).then_some(UndeliveredPart { request, items, reason, fate });
        Self { parts: whole.into_iter().collect(), ..Self::default() }
    }

    pub fn undelivered(&self) -> usize {
        self.parts.iter().map(|part| part.items).sum()
    }

    pub fn items(&self) -> usize {
        self.accepted + self.undelivered()
    }

    /// Puts this warning before an existing one. An empty warning changes nothing.
    pub fn prepend_warning(&mut self, warning: String) {
        let later = std::mem::replace(&mut self.warning, warning);
        self.append_warning(later);
    }

    fn append_warning(&mut self, later: String) {
        if self.warning.is_empty() {
            self.warning = later;
        } else if !later.is_empty() {
            self.warning.push_str("; ");
            self.warning.push_str(&later);
        }
    }
}

impl AddAssign for Outcome {
    /// Adds the account of another request. Before parts of a request are sent again, remove them from its account.
    fn add_assign(&mut self, other: Self) {
        // Destructuring makes a new field a compile error here.
        let Self {
            accepted,
            parts,
            ambiguous_items,
            requests_sent,
            bytes_sent,
            warning,
            retry_after,
        } = other;
        self.accepted += accepted;
        self.parts.extend(parts);
        self.ambiguous_items += ambiguous_items;
        self.requests_sent += requests_sent;
        self.bytes_sent += bytes_sent;
        self.append_warning(warning);
        self.retry_after = self.retry_after.max(retry_after);
    }
}

/// A piece of a request that the backend did not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndeliveredPart {
    /// The piece. For [`Fate::DeadLetterPartial`] this is the whole request, because the backend does not name the rejected
    /// items.
    pub request: Request,
    /// Number of undelivered items: all items of `request`, except for [`Fate::DeadLetterPartial`].
    pub items: usize,
    pub reason: Reason,
    /// The next step for this piece.
    pub fate: Fate,
}

/// The next step for an undelivered piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    Park,
    /// Queue for retry. The piece is a single record whose content the backend refused. The record is at fault only if the
    /// backend accepts other records meanwhile, which is unknown.
    ParkRefused,
    /// Queue for retry and alert a person: delivery fails until a setting changes.
    ParkWithAlarm,
    /// Dead-letter: the backend refuses this record although it accepts its neighbours, or states which limit the record exceeds.
    DeadLetter,
    /// Dead-letter and never resend: `items` of the items were rejected, and the stored ones would be duplicated.
    DeadLetterPartial,
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn the_sum_of_outcomes_has_their_warnings_in_order() {
        let mut sum = Outcome::default();
        for warning in ["", "first", "", "second"] {
            sum += Outcome { warning: warning.to_owned(), ..Outcome::default() };
        }
        sum.prepend_warning(String::new());
        sum.prepend_warning("earlier".to_owned());
        assert_eq!(sum.warning, "earlier; first; second");
    }
}
