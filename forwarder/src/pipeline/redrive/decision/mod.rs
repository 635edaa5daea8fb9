//! Decides what becomes of a parked request after it was sent once more.
//!
//! Where the whole is still there, its message stays in the queue and is hidden for a while: it is never sent to the queue
//! again. Where a part was accepted, the rest goes into a new message, so that what was accepted is not sent again.

use crate::destination::ingest_window::{IngestPolicy, OldRecords, time_range};
use backend::{Fate, Outcome, Undelivered};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;
use wire::{Request, SignalKind};

/// How long the queues of `template.yaml` keep a message; SQS keeps none longer.
pub(crate) const RETENTION: Duration = Duration::from_hours(14 * 24);
/// So long before the queue forgets a message it is dead-lettered.
const RETENTION_MARGIN: Duration = Duration::from_hours(1);
/// Back-off after the first attempt; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// Longest back-off in the first hours: a backend that is back gets its records soon.
const LONGEST_PAUSE: Duration = Duration::from_mins(15);
/// After so many attempts, about four hours, the outage is a long one.
const MANY_ATTEMPTS: u32 = 20;
/// Longest back-off then.
const LONGEST_LATE_PAUSE: Duration = Duration::from_hours(1);
/// Longest time a message can be hidden: 12 hours after it was received, which was an invocation ago at most.
const LONGEST_HIDDEN: Duration = Duration::from_mins(12 * 60 - 15);
/// Longest delay of a message that is sent to SQS.
const LONGEST_DELAY: Duration = Duration::from_mins(15);

/// What is known of the message.
#[derive(Clone, Copy, Debug)]
pub struct Receipt<'a> {
    /// Its id in the queue; spreads the messages of one outage in time.
    pub message_id: &'a str,
    /// `ApproximateReceiveCount`, this time included.
    pub receive_count: u32,
    /// When the forwarder first had the request.
    pub first_seen_unix_nano: u64,
    /// Whether the backend has taken other telemetry of this signal since the message was received first, and not taken this.
    pub neighbours_taken: bool,
}

/// What to do with the message.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is not accepted has to stay, be sent again or dead-lettered"]
pub struct Decision {
    /// Items that the backend has.
    pub accepted: usize,
    /// What is never sent again, to be put into the dead-letter queue before anything else. If that queue refuses, the
    /// message has to stay.
    pub dead_letters: Vec<DeadLetter>,
    /// What happens then.
    pub next: Next,
}

/// What happens with what remains.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing remains: the message is deleted.
    Done,
    /// The whole remains: the message is hidden for so long. Its receipt is reported as failed, or Lambda deletes it.
    ComeAgain {
        /// Items that stay in the queue.
        items: usize,
        /// How long.
        after: Duration,
    },
    /// The rest is sent as new messages, then this one is deleted. If the queue refuses, this one has to stay, and what was
    /// accepted will be sent twice: that is to be counted as ambiguous.
    SendRest {
        /// Pieces that never overlap.
        rest: Vec<Rest>,
        /// Delay of the new messages.
        delay: Duration,
    },
}

/// A piece that remains.
#[derive(Debug, PartialEq, Eq)]
pub struct Rest {
    /// The piece.
    pub request: Request,
    /// Why it was not accepted.
    pub reason: String,
    /// Whether a person has to change a setting before it is.
    pub fate: Fate,
}

/// A piece that is never sent again by itself.
#[derive(Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The piece.
    pub request: Request,
    /// Items that it stands for: all of the request, unless `partial`.
    pub items: usize,
    /// Why.
    pub reason: String,
    /// The backend rejected `items` of it without saying which, and has the others.
    pub partial: bool,
}

impl Decision {
    /// Accepted, remaining and dead-lettered together: the items of the outcome.
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

/// What becomes of a request that was taken out of the queue, sorted by [`IngestPolicy::sort`] and sent, with this outcome.
///
/// A single record that the backend refuses again, and has taken others since it first did, is dead-lettered: it is
/// the record that is at fault. Records that the policy keeps are dead-lettered once all of a piece are
/// outside the window; other pieces shortly before the queue would forget them, and not before.
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
                rest.push(Rest { request, reason, fate: part.fate });
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

fn letter(part: Undelivered, why: String, partial: bool) -> DeadLetter {
    let Undelivered { request, items, reason, .. } = part;
    DeadLetter { request, items, reason: why + &reason.to_string(), partial }
}

/// How long trying again makes sense.
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
    // A piece of which some are outside already comes again: they are sorted out before it is sent.
    let in_window = window.time_left(oldest, now_unix_nano).unwrap_or_default();
    Left::Until(in_queue.min(in_window))
}

/// How long to wait: by the number of attempts, never less than the backend asked for, and so that there is another
/// attempt before the time is over: after half of what is left, as long as that is not too soon.
fn pause(receipt: Receipt<'_>, retry_after: Option<Duration>, left: Duration) -> Duration {
    let attempt = receipt.receive_count.max(1);
    let longest = if attempt < MANY_ATTEMPTS { LONGEST_PAUSE } else { LONGEST_LATE_PAUSE };
    let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX));
    let full = doubled.min(longest);
    let back_off = full / 2 + full.mul_f64(spread(receipt)) / 2;
    let wanted = back_off.max(retry_after.unwrap_or_default());
    wanted.min((left / 2).max(FIRST_PAUSE))
}

/// At least 0 and below 1; the same for the same attempt of the same message.
fn spread(receipt: Receipt<'_>) -> f64 {
    let mut hasher = DefaultHasher::new();
    (receipt.message_id, receipt.receive_count).hash(&mut hasher);
    let upper_half = u32::try_from(hasher.finish() >> 32).unwrap_or_default();
    f64::from(upper_half) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests;
