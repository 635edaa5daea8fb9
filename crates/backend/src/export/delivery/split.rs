//! Splits parts that are too large, and halves parts with refused records.

use super::{Delivery, QueuedPart};
use crate::destination::Profile;
use crate::export::outcome::Fate;
use crate::judge::Reason;
use crate::sanitize::split_by_columns;
use wire::Request;

/// The maximum number of additional requests from splitting and halving: enough to isolate two bad records among thousands, and
/// few enough to spare a backend that refuses everything.
const MOST_EXTRA_REQUESTS: usize = 24;

/// Two halves and four quarters: if the backend accepts none of these six, single records are not the cause.
const FIRST_HALVES: usize = 6;

impl Delivery {
    /// Splits an oversized part into parts of half its size.
    pub(super) fn split(&mut self, part: QueuedPart, reason: Reason) {
        if part.request.items() <= 1 {
            return self.keep(part, &reason, Fate::DeadLetter);
        }
        let half_bytes = part.request.bytes().len() / 2;
        let pieces = part.request.clone().split_by_size(half_bytes);
        // Each piece repeats the resource. If it makes up most of the part, no piece becomes smaller.
        if pieces.len() <= 1 {
            return self.keep(part, &reason, Fate::DeadLetter);
        }
        if self.extra_requests + pieces.len() > MOST_EXTRA_REQUESTS {
            return self.keep(part, &reason, Fate::Park);
        }
        self.extra_requests += pieces.len();
        self.wait_for(&part, pieces, part.is_half);
        self.last_failure = Some(reason);
    }

    /// Halves a part with refused records. The halves go to the end of the queue, so that both halves and all four quarters are
    /// tried before single records are blamed.
    pub(super) fn halve(&mut self, part: QueuedPart, reason: Reason) {
        let items = part.request.items();
        // With too many columns no single record is at fault, and a smaller request may succeed.
        let may_be_too_large = items > 1 && reason.may_mean_columns();
        self.refused_halves += usize::from(part.is_half && !may_be_too_large);
        let hopeless = !self.anything_taken && self.refused_halves >= FIRST_HALVES;
        if items <= 1 && !hopeless {
            return self.keep(part, &reason, Fate::DeadLetter);
        }
        if hopeless {
            self.waiting.push_front(part);
            return self.give_up_whole(&reason);
        }
        if self.extra_requests + 2 > MOST_EXTRA_REQUESTS {
            return self.keep(part, &reason, Fate::Park);
        }
        self.extra_requests += 2;
        let (first, second) = part.request.clone().split_at(items / 2);
        self.wait_for(&part, vec![first, second], true);
        self.last_failure = Some(reason);
    }

    /// Splits the request into pieces within the known column limit.
    pub(super) fn split_by_columns(&self, request: Request) -> Vec<Request> {
        match self.profile {
            Profile::OpenObserve => split_by_columns(request, self.learned.columns()),
            Profile::Otlp => vec![request],
        }
    }

    /// Returns `true` if the backend states a lower column limit than the known one.
    pub(super) fn learns_column_limit(&self, reason: &Reason) -> bool {
        self.profile == Profile::OpenObserve
            && reason.column_limit().is_some_and(|columns| self.learned.learn_max_columns(columns))
    }

    pub(super) fn split_waiting(&mut self) {
        for part in std::mem::take(&mut self.waiting) {
            let pieces = self.split_by_columns(part.request.clone());
            self.wait_for(&part, pieces, part.is_half);
        }
    }

    fn wait_for(&mut self, whole: &QueuedPart, pieces: Vec<Request>, is_half: bool) {
        for request in pieces {
            let piece = self.new_part(request);
            self.waiting.extend(piece.map(|piece| QueuedPart {
                is_half,
                ambiguous: whole.ambiguous,
                nothing_written: whole.nothing_written,
                ..piece
            }));
        }
    }
}
