//! Decides what happens to the message of a parked request after another attempt.
//!
//! If nothing was accepted, the message stays in the queue, hidden for a while. If a part was accepted, the rest goes into a new
//! message, so that the accepted part is not sent again.

use crate::destination::ingest_window::{IngestPolicy, OldRecords, time_range};
use backend::{Fate, Outcome, UndeliveredPart};
use settings::Backoff;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;
use wire::{Request, SignalKind};

/// Message retention of the queues in `template.yaml`, which is also the maximum of SQS.
pub(crate) const RETENTION: Duration = Duration::from_hours(14 * 24);
/// Messages are dead-lettered this long before the queue deletes them.
const RETENTION_MARGIN: Duration = Duration::from_hours(1);
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// Pauses of the first hours, short so that a recovered backend gets its records soon.
const EARLY_PAUSES: Backoff = Backoff::new(FIRST_PAUSE, Duration::from_mins(15));
/// Pauses of a long outage.
const LATE_PAUSES: Backoff = Backoff::new(FIRST_PAUSE, Duration::from_hours(1));
/// After this many attempts, about four hours, the outage counts as long.
const MANY_ATTEMPTS: u32 = 20;
/// Longest time to hide a message: SQS allows 12 hours after the receipt, which was at most an invocation ago.
const LONGEST_HIDDEN: Duration = Duration::from_mins(12 * 60 - 15);
const LONGEST_DELAY: Duration = Duration::from_mins(15);

#[derive(Clone, Copy, Debug)]
pub struct Receipt<'a> {
    /// Message id. It spreads the messages of one outage over time.
    pub message_id: &'a str,
    /// `ApproximateReceiveCount`, including this attempt.
    pub receive_count: u32,
    /// Time at which the forwarder first had the request.
    pub first_seen_unix_nano: u64,
    /// `true` if the backend has accepted other telemetry of this signal since the message was first received.
    pub neighbours_taken: bool,
}

#[derive(Debug, PartialEq, Eq)]
#[must_use = "telemetry that is not accepted must stay, be sent again or be dead-lettered"]
pub struct Decision {
    pub accepted: usize,
    /// Parts that are never sent again. They go into the dead-letter queue first; if that fails, the message has to stay.
    pub dead_letters: Vec<DeadLetter>,
    pub next: Next,
}

/// The next step for the remaining parts.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing remains. The message is deleted.
    Done,
    /// Everything remains. The message is hidden, and its receipt is reported as failed, or Lambda would delete it.
    ComeAgain { items: usize, after: Duration },
    /// The rest is sent as new messages, and this message is deleted. If sending fails, this message stays, and its accepted
    /// items count as ambiguous because they will be sent twice.
    SendRest {
        /// Pieces without overlap.
        rest: Vec<Remaining>,
        delay: Duration,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub struct Remaining {
    pub request: Request,
    pub reason: String,
    /// Tells if an operator has to change a setting.
    pub fate: Fate,
}

/// A piece that is not retried.
#[derive(Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub request: Request,
    /// Items counted for it: all items of the request, unless `partial`.
    pub items: usize,
    pub reason: String,
    /// The backend rejected `items` of it without saying which ones, and accepted the others.
    pub partial: bool,
}

impl Decision {
    /// The sum of accepted, remaining and dead-lettered items, which equals the items of the outcome.
    pub fn items(&self) -> usize {
        let dead_lettered: usize = self.dead_letters.iter().map(|letter| letter.items).sum();
        let remaining = match &self.next {
            Next::Done => 0,
            Next::ComeAgain { items, .. } => *items,
            Next::SendRest { rest, .. } => rest.iter().map(|rest| rest.request.items()).sum(),
        };
        self.accepted + dead_lettered + remaining
    }
}

/// Decides about a request from the queue that was sorted by [`IngestPolicy::sort`] and sent, with this outcome.
///
/// A single record is dead-lettered if the backend rejects it again and has accepted others meanwhile. Records outside the ingest
/// window are dead-lettered once the whole piece is outside. Other pieces are dead-lettered shortly before the queue would delete
/// them.
pub fn decide(
    outcome: Outcome,
    receipt: Receipt<'_>,
    policy: IngestPolicy,
    now_unix_nano: u64,
) -> Decision {
    let (accepted, retry_after) = (outcome.accepted, outcome.retry_after);
    let mut dead_letters = Vec::new();
    let mut rest = Vec::new();
    let mut shortest_left = Duration::MAX;
    for part in outcome.parts {
        if part.fate == Fate::ParkRefused && receipt.neighbours_taken {
            dead_letters.push(letter(part, String::new(), false));
            continue;
        }
        let left = time_left(&part.request, receipt, policy, now_unix_nano);
        match (part.fate, left) {
            (Fate::DeadLetter, _) => dead_letters.push(letter(part, String::new(), false)),
            (Fate::DeadLetterPartial, _) => dead_letters.push(letter(part, String::new(), true)),
            (Fate::Park | Fate::ParkRefused | Fate::ParkWithAlarm, Left::Until(left)) => {
                shortest_left = shortest_left.min(left);
                let (request, reason) = (part.request, part.reason.to_string());
                rest.push(Remaining { request, reason, fate: part.fate });
            }
            (Fate::Park | Fate::ParkRefused | Fate::ParkWithAlarm, Left::Over(why)) => {
                dead_letters.push(letter(part, format!("{why}; last answer: "), false));
            }
        }
    }
    let pause = pause(receipt, retry_after, shortest_left);
    let is_whole = accepted == 0 && dead_letters.is_empty();
    let next = match rest.len() {
        0 => Next::Done,
        _ if is_whole => {
            let items = rest.iter().map(|rest| rest.request.items()).sum();
            Next::ComeAgain { items, after: pause.min(LONGEST_HIDDEN) }
        }
        _ => Next::SendRest { rest, delay: pause.min(LONGEST_DELAY) },
    };
    Decision { accepted, dead_letters, next }
}

fn letter(part: UndeliveredPart, why: String, partial: bool) -> DeadLetter {
    let UndeliveredPart { request, items, reason, .. } = part;
    DeadLetter { request, items, reason: why + &reason.to_string(), partial }
}

/// The time in which a retry makes sense.
enum Left {
    Until(Duration),
    Over(&'static str),
}

fn time_left(
    request: &Request,
    receipt: Receipt<'_>,
    policy: IngestPolicy,
    now_unix_nano: u64,
) -> Left {
    let age = Duration::from_nanos(now_unix_nano.saturating_sub(receipt.first_seen_unix_nano));
    let Some(in_queue) = RETENTION.saturating_sub(RETENTION_MARGIN).checked_sub(age) else {
        return Left::Over("the queue would soon forget it");
    };
    let window = policy.window.filter(|_| {
        policy.old_records == OldRecords::Keep && request.kind() != SignalKind::Metrics
    });
    let Some(window) = window else { return Left::Until(in_queue) };
    let (oldest, newest) = time_range(request).unwrap_or_default();
    if window.time_left(newest, now_unix_nano).is_none() {
        return Left::Over("older than the ingest window");
    }
    // A partly expired piece comes again. Its expired items are removed before it is sent.
    let in_window = window.time_left(oldest, now_unix_nano).unwrap_or_default();
    Left::Until(in_queue.min(in_window))
}

/// The pause before the next attempt: grows with the number of attempts, respects the backend's `Retry-After`, and leaves time
/// for another attempt before the message expires.
fn pause(receipt: Receipt<'_>, retry_after: Option<Duration>, left: Duration) -> Duration {
    let attempt = receipt.receive_count.max(1);
    let pauses = if attempt < MANY_ATTEMPTS { EARLY_PAUSES } else { LATE_PAUSES };
    let pause = pauses.delay(attempt - 1, spread(receipt));
    let wanted = pause.max(retry_after.unwrap_or_default());
    wanted.min((left / 2).max(FIRST_PAUSE))
}

/// A number from 0 to below 1, derived from message and attempt.
fn spread(receipt: Receipt<'_>) -> f64 {
    let mut hasher = DefaultHasher::new();
    (receipt.message_id, receipt.receive_count).hash(&mut hasher);
    let upper_half = u32::try_from(hasher.finish() >> 32).unwrap_or_default();
    f64::from(upper_half) * 2f64.powi(-32)
}

#[cfg(test)]
mod tests;
