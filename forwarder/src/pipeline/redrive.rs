//! Sends a parked request again, and executes the decision about its message.

use super::flusher::Flusher;
use crate::deliver::Outgoing;
use crate::deliver::enqueue::ToEnqueue;
use crate::destination::ingest_window::{IngestPolicy, OldRecords, time_range};
use crate::destination::{Destination, Export};
use crate::ledger::Ledger;
use crate::parking::{Parked, Queue};
use crate::source::QueueMessage;
use backend::{Fate, Outcome, Reason, UndeliveredPart};
use settings::Backoff;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use wire::{Request, SignalKind};

/// Sends a parked request again. If nothing was accepted, the request stays in its message, which comes again. If a part
/// was accepted, the rest becomes a new message.
pub(super) async fn redrive<E: Export, Q: Queue>(
    flusher: &mut Flusher<'_, E, Q>,
    message: &QueueMessage,
    parked: Parked,
    request: Request,
) {
    let (kind, destination) = (request.kind(), parked.destination.clone());
    flusher.report.account.add(&destination, Ledger::of_items(kind, request.items()));
    let (outcome, policy) = send_parked(flusher, message, &parked, request).await;
    let accepted = outcome.accepted;
    let needs_a_person = outcome.parts.iter().find(|part| part.fate == Fate::ParkWithAlarm);
    let alarm = needs_a_person.is_some();
    // One line reports all parts of a message, so its reason is the one that only a person can remove.
    let reason = needs_a_person.or(outcome.parts.first()).map(|part| part.reason.to_string());
    let reason = reason.unwrap_or_default();
    let first_received = message.first_received_unix_nano();
    let has_taken_since = |destination: &Arc<Destination<E>>| {
        destination.breaker(kind, |breaker| breaker.has_taken_since(first_received))
    };
    let receipt = Receipt {
        message_id: &message.message_id,
        receive_count: message.receive_count(),
        first_seen_unix_nano: parked.first_seen_unix_nano,
        neighbours_taken: flusher
            .destination(&destination)
            .is_some_and(|(_, destination)| has_taken_since(destination)),
    };
    let decision = decide(outcome, receipt, policy, flusher.invocation().observed_unix_nano);
    let returned_before = flusher.returned();
    let letters = decision.dead_letters.into_iter().map(|letter| dead_letter(&parked, letter));
    flusher.enqueue(letters.collect(), Duration::ZERO).await;
    // The message has to stay if the dead-letter queue did not accept its dead letters.
    let has_to_stay = flusher.returned() > returned_before;
    match decision.next {
        Next::Done => {}
        Next::ComeAgain { items, after } => {
            flusher.report.keep_in_message(&destination, kind, items, reason, alarm);
            postpone(flusher, message, after).await;
        }
        Next::SendRest { rest, .. } if has_to_stay => {
            let items = rest.iter().map(|rest| rest.request.items()).sum();
            flusher.report.keep_in_message(&destination, kind, items, reason, alarm);
        }
        Next::SendRest { rest, delay } => {
            let rest = rest.into_iter().map(|rest| new_message(&parked, rest));
            flusher.enqueue(rest.collect(), delay).await;
        }
    }
    if flusher.returned() > returned_before {
        // The whole message comes again, with the accepted items.
        let again = Ledger { ambiguous: accepted, ..Ledger::default() };
        flusher.report.account.add(&destination, again);
    }
}

/// Sends a parked request to its destination. If no setting names that destination any more, the request waits.
async fn send_parked<E: Export, Q: Queue>(
    flusher: &mut Flusher<'_, E, Q>,
    message: &QueueMessage,
    parked: &Parked,
    request: Request,
) -> (Outcome, IngestPolicy) {
    let Some((position, destination)) = flusher.destination(&parked.destination) else {
        let text = format!(
            "no setting names the destination {}; add it again, or the message waits until it expires",
            parked.destination
        );
        let reason = Reason::UnknownDestination { text };
        let outcome = Outcome::unsent(request, reason, Fate::ParkWithAlarm);
        return (outcome, IngestPolicy::any_time());
    };
    let outgoing = Outgoing {
        destination: position,
        stream: parked.stream.as_deref().map(Arc::from),
        request,
        survey: None,
        log_events: Arc::new(parked.log_events.clone()),
    };
    let policy = destination.policy();
    (flusher.deliver_parked(outgoing, message.receive_count()).await, policy)
}

/// Hides the message until the next attempt. If that fails, it comes again after the queue's visibility timeout.
async fn postpone<E: Export, Q: Queue>(
    flusher: &Flusher<'_, E, Q>,
    message: &QueueMessage,
    after: Duration,
) {
    let Some(queue) = &flusher.queues().retry else { return };
    let deadline = flusher.invocation().queue_deadline;
    if let Err(error) = queue.postpone(&message.receipt_handle, after, deadline).await {
        tracing::warn!(%error, "cannot change the message's visibility timeout, SQS delivers it again after the present one");
    }
}

/// A part of the parked request for the dead-letter queue.
fn dead_letter(parked: &Parked, letter: DeadLetter) -> ToEnqueue {
    let DeadLetter { request, items, reason, partial } = letter;
    ToEnqueue {
        parked: Parked { items, reason, partial, ..parked.with_request(request) },
        fate: if partial { Fate::DeadLetterPartial } else { Fate::DeadLetter },
        is_in_log_group: false,
    }
}

fn new_message(parked: &Parked, rest: Remaining) -> ToEnqueue {
    let Remaining { request, reason, fate } = rest;
    let parked = Parked { reason, ..parked.with_request(request) };
    ToEnqueue { parked, fate, is_in_log_group: false }
}

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
struct Receipt<'a> {
    /// Message id. It spreads the messages of one outage over time.
    message_id: &'a str,
    /// `ApproximateReceiveCount`, including this attempt.
    receive_count: u32,
    /// Time at which the forwarder first had the request.
    first_seen_unix_nano: u64,
    /// `true` if the backend has accepted other telemetry of this signal since the message was first received.
    neighbours_taken: bool,
}

#[derive(Debug, PartialEq, Eq)]
#[must_use = "telemetry that is not accepted must stay, be sent again or be dead-lettered"]
struct Decision {
    accepted: usize,
    /// Parts that are never sent again. They go into the dead-letter queue first; if that fails, the message has to stay.
    dead_letters: Vec<DeadLetter>,
    next: Next,
}

/// The next step for the remaining parts.
#[derive(Debug, PartialEq, Eq)]
enum Next {
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
struct Remaining {
    request: Request,
    reason: String,
    /// Tells if an operator has to change a setting.
    fate: Fate,
}

/// A piece that is not retried.
#[derive(Debug, PartialEq, Eq)]
struct DeadLetter {
    request: Request,
    /// Items counted for it: all items of the request, unless `partial`.
    items: usize,
    reason: String,
    /// The backend rejected `items` of it without saying which ones, and accepted the others.
    partial: bool,
}

/// Decides about a request from the queue that was sorted by [`IngestPolicy::sort`] and sent, with this outcome.
///
/// A single record is dead-lettered if the backend rejects it again and has accepted others meanwhile. Records outside the ingest
/// window are dead-lettered once the whole piece is outside. Other pieces are dead-lettered shortly before the queue would delete
/// them.
fn decide(
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
mod tests {
    use super::*;
    use crate::destination::ingest_window::IngestWindow;
    use wire::protobuf::Writer;

    const NOW: u64 = 1_790_000_000_000_000_000;
    const HOUR: u64 = 3_600_000_000_000;
    const MINUTE: u64 = HOUR / 60;

    fn policy(old_records: OldRecords) -> IngestPolicy {
        IngestPolicy { window: Some(IngestWindow { past: Duration::from_hours(5) }), old_records }
    }

    /// Log records of these ages.
    fn logs(ages: &[u64]) -> Request {
        request(SignalKind::Logs, ages)
    }

    fn request(kind: SignalKind, ages: &[u64]) -> Request {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).message(1, |container| {
            container.message(2, |scope| {
                for age in ages {
                    let time = NOW - age;
                    match kind {
                        SignalKind::Logs => scope.message(2, |record| record.fixed64(1, time)),
                        SignalKind::Traces => scope.message(2, |span| span.fixed64(7, time)),
                        SignalKind::Metrics => scope.message(2, |metric| {
                            metric.message(5, |gauge| {
                                gauge.message(1, |point| point.fixed64(3, time));
                            });
                        }),
                    }
                }
            });
        });
        Request::trusted(kind, bytes)
    }

    fn part(request: Request, fate: Fate) -> UndeliveredPart {
        let items = request.items();
        let reason = Reason::Rejected { text: "full".to_owned() };
        UndeliveredPart { request, items, reason, fate }
    }

    fn outcome(accepted: usize, parts: Vec<UndeliveredPart>) -> Outcome {
        Outcome { accepted, parts, requests_sent: 1, ..Outcome::default() }
    }

    fn receipt(receive_count: u32, age: u64) -> Receipt<'static> {
        Receipt {
            message_id: "m",
            receive_count,
            first_seen_unix_nano: NOW - age,
            neighbours_taken: false,
        }
    }

    /// `accepted 1, dead 2 (why), again 3`, without times.
    fn words(decision: &Decision) -> String {
        let mut words = Vec::new();
        if decision.accepted > 0 {
            words.push(format!("accepted {}", decision.accepted));
        }
        for letter in &decision.dead_letters {
            let partial = if letter.partial { "partial" } else { "dead" };
            let why = letter.reason.split(';').next().unwrap();
            words.push(format!("{partial} {} ({why})", letter.items));
        }
        words.push(match &decision.next {
            Next::Done => "done".to_owned(),
            Next::ComeAgain { items, .. } => format!("again {items}"),
            Next::SendRest { rest, .. } => {
                let items: Vec<String> =
                    rest.iter().map(|rest| rest.request.items().to_string()).collect();
                format!("rest {}", items.join("+"))
            }
        });
        words.join(", ")
    }

    #[test]
    fn each_combination_of_fates_leads_to_one_decision() {
        use Fate::{DeadLetter, DeadLetterPartial, Park, ParkWithAlarm};
        #[track_caller]
        fn check(accepted: usize, fates: &[Fate], expected: &str) {
            let parts = fates.iter().map(|fate| part(logs(&[MINUTE, 0]), *fate)).collect();
            let outcome = outcome(accepted, parts);
            let decision = decide(outcome, receipt(1, HOUR), policy(OldRecords::Keep), NOW);
            assert_eq!(words(&decision), expected, "{accepted} {fates:?}");
        }
        check(0, &[], "done");
        check(3, &[], "accepted 3, done");
        check(0, &[Park], "again 2");
        check(0, &[ParkWithAlarm], "again 2");
        check(0, &[Park, ParkWithAlarm], "again 4");
        check(3, &[Park], "accepted 3, rest 2");
        check(3, &[Park, ParkWithAlarm], "accepted 3, rest 2+2");
        check(0, &[DeadLetter], "dead 2 (rejected: full), done");
        check(0, &[DeadLetterPartial], "partial 2 (rejected: full), done");
        check(3, &[DeadLetterPartial], "accepted 3, partial 2 (rejected: full), done");
        check(0, &[DeadLetter, Park], "dead 2 (rejected: full), rest 2");
        check(
            1,
            &[Park, DeadLetter, DeadLetterPartial, ParkWithAlarm],
            "accepted 1, dead 2 (rejected: full), partial 2 (rejected: full), rest 2+2",
        );
    }

    #[test]
    fn items_are_dead_lettered_once_window_or_retention_ends() {
        use OldRecords::{Drop, Keep, Restamp};
        use SignalKind::{Logs, Metrics, Traces};
        const DAY: u64 = 24 * HOUR;
        #[track_caller]
        fn check(
            kind: SignalKind,
            ages: &[u64],
            first_seen: u64,
            policy: IngestPolicy,
            expected: &str,
        ) {
            for fate in [Fate::Park, Fate::ParkWithAlarm] {
                let outcome = outcome(0, vec![part(request(kind, ages), fate)]);
                let decision = decide(outcome, receipt(9, first_seen), policy, NOW);
                assert_eq!(words(&decision), expected, "{kind} {ages:?} {policy:?}");
            }
        }
        let window = "dead 1 (older than the ingest window), done";
        let retention = "dead 1 (the queue would soon forget it), done";
        for kind in [Logs, Traces] {
            check(kind, &[5 * HOUR - MINUTE], HOUR, policy(Keep), "again 1");
            check(kind, &[5 * HOUR], HOUR, policy(Keep), window);
            // One is still inside. The others are sorted out before it is sent.
            check(kind, &[6 * HOUR, 0], HOUR, policy(Keep), "again 2");
            // Other policies restamp or drop the records before they are sent.
            check(kind, &[6 * HOUR], HOUR, policy(Restamp), "again 1");
            check(kind, &[6 * HOUR], HOUR, policy(Drop), "again 1");
            check(kind, &[6 * HOUR], 14 * DAY - HOUR, policy(Restamp), "again 1");
            check(kind, &[6 * HOUR], 14 * DAY - HOUR + 1, policy(Restamp), retention);
        }
        check(Metrics, &[13 * DAY], 13 * DAY, policy(Keep), "again 1");
        check(Metrics, &[13 * DAY], 14 * DAY - HOUR, policy(Keep), "again 1");
        check(Metrics, &[13 * DAY], 14 * DAY - HOUR + 1, policy(Keep), retention);
        let no_window = IngestPolicy { window: None, old_records: Keep };
        check(Logs, &[13 * DAY], 13 * DAY, no_window, "again 1");
        check(Traces, &[13 * DAY], 14 * DAY, no_window, retention);
        // A clock behind the clock of the first invocation.
        let outcome = outcome(0, vec![part(logs(&[0]), Fate::Park)]);
        let ahead = Receipt { first_seen_unix_nano: u64::MAX, ..receipt(1, 0) };
        assert_eq!(words(&decide(outcome, ahead, policy(Keep), NOW)), "again 1");
    }

    #[test]
    fn a_dead_letter_contains_the_reason_and_the_last_answer() {
        let outcome = outcome(0, vec![part(logs(&[6 * HOUR]), Fate::Park)]);
        let decision = decide(outcome, receipt(1, 0), policy(OldRecords::Keep), NOW);
        let reason = &decision.dead_letters[0].reason;
        assert_eq!(reason, "older than the ingest window; last answer: rejected: full");
    }

    fn after(receipt: Receipt<'_>, retry_after: Option<u64>, record_age: u64) -> Duration {
        let outcome = outcome(0, vec![part(logs(&[record_age]), Fate::Park)]);
        let outcome = Outcome { retry_after: retry_after.map(Duration::from_secs), ..outcome };
        match decide(outcome, receipt, policy(OldRecords::Keep), NOW).next {
            Next::ComeAgain { after, .. } => after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_retry_delay_grows_with_the_attempts() {
        let check = |receive_count, full: u64| {
            let after = after(receipt(receive_count, 0), None, 0);
            let full = Duration::from_secs(full);
            assert!(after >= full / 2 && after < full, "{receive_count}: {after:?}");
        };
        check(0, 30);
        check(1, 30);
        check(2, 60);
        check(3, 120);
        check(5, 480);
        check(6, 900);
        check(19, 900);
        check(20, 3600);
        check(u32::MAX, 3600);
        let spread = |message_id| after(Receipt { message_id, ..receipt(19, 0) }, None, 0);
        assert_eq!(spread("a"), spread("a"));
        assert_ne!(spread("a"), spread("b"));
    }

    #[test]
    fn retry_after_is_honoured_within_queue_and_window_limits() {
        let check = |retry_after, record_age, expected: u64| {
            let after = after(receipt(1, 0), Some(retry_after), record_age);
            assert_eq!(after.as_secs(), expected, "{retry_after}");
        };
        check(120, 0, 120);
        check(7200, 0, 7200);
        // One attempt before the window closes, at half of the time.
        check(86_400, 0, (5 * 3600 - 15) / 2);
        check(86_400, 4 * HOUR, (3600 - 15) / 2);
        check(86_400, 5 * HOUR - 20_000_000_000, 30);
        let metrics = outcome(0, vec![part(request(SignalKind::Metrics, &[0]), Fate::Park)]);
        let metrics = Outcome { retry_after: Some(Duration::from_hours(24)), ..metrics };
        let decision = decide(metrics, receipt(1, 0), policy(OldRecords::Keep), NOW);
        let after = Duration::from_mins(12 * 60 - 15);
        assert_eq!(decision.next, Next::ComeAgain { items: 1, after });
    }

    #[test]
    fn the_delay_of_a_new_message_is_at_most_15_minutes() {
        let some = outcome(1, vec![part(logs(&[0]), Fate::Park)]);
        let some = Outcome { retry_after: Some(Duration::from_hours(2)), ..some };
        let decision = decide(some, receipt(1, 0), policy(OldRecords::Keep), NOW);
        let Next::SendRest { delay, .. } = decision.next else { panic!("{decision:?}") };
        assert_eq!(delay, Duration::from_mins(15));
    }
}
