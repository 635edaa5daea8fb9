//! Sends a queued request again, and executes the decision about its message.

use crate::delivery::destination::{DestinationRoute, Export};
use crate::delivery::ingest_window::{IngestPolicy, OldRecords};
use crate::delivery::{RequestBatch, deliver};
use crate::ledger::Ledger;
use crate::pipeline::Outbox;
use crate::queues::{Queue, QueuedTelemetry};
use crate::report::{KeptIn, Undelivered};
use crate::source::QueueMessage;
use aws::{LONGEST_DELAY, LONGEST_VISIBILITY_TIMEOUT};
use backend::{Fate, Profile, Reason, UndeliveredPart, sanitize};
use settings::{Backoff, Jitter};
use std::sync::Arc;
use std::time::Duration;
use wire::{Request, SignalKind};

/// Sends a queued request again. If nothing was accepted, the request stays in its message, which comes again. If a part was
/// accepted, the rest becomes a new message. Returns the number of items that come again with the message.
pub(crate) async fn redrive<E: Export, Q: Queue>(
    outbox: &mut Outbox<'_, E, Q>,
    message: &QueueMessage,
    queued: &QueuedTelemetry,
    request: Request,
) -> usize {
    let destination = queued.destination.as_str();
    outbox.report.ledgers.add(destination, Ledger::count_items(request.kind(), request.items()));
    let mut result = send_again(outbox, message, queued, request).await;
    let now = outbox.invocation.observed_unix_nano;
    result.stop_hopeless_retries(now);
    let time_left = result.time_left(now);
    let RedriveResult { accepted, retry_after, undelivered, .. } = result;
    let pause = pause(&message.message_id, message.receive_count(), retry_after, time_left);
    let (dead_letters, rest): (Vec<_>, Vec<_>) =
        undelivered.into_iter().partition(QueuedTelemetry::is_dead_letter);
    let has_all_items = accepted == 0 && dead_letters.is_empty() && !rest.is_empty();
    let returned_dead_letters = outbox.enqueue(dead_letters, Duration::ZERO).await;
    // A message that comes again has the rest too.
    let stays = has_all_items || returned_dead_letters > 0;
    let returned_rest = if stays {
        let in_message =
            |part: QueuedTelemetry| Undelivered { kept_in: KeptIn::Message, ..part.described() };
        outbox.note_placed(rest.into_iter().map(in_message))
    } else {
        outbox.enqueue(rest, pause.min(LONGEST_DELAY)).await
    };
    if has_all_items {
        postpone(outbox, message, pause.min(LONGEST_VISIBILITY_TIMEOUT)).await;
    }
    let returned = returned_dead_letters + returned_rest;
    if returned > 0 {
        // The whole message comes again, with the accepted items.
        let sent_twice = Ledger { ambiguous: accepted, ..Ledger::default() };
        outbox.report.ledgers.add(destination, sent_twice);
    }
    returned
}

/// Leaves telemetry in its message, which comes again after a pause. Returns the number of its items.
pub(crate) async fn wait_in_message<E: Export, Q: Queue>(
    outbox: &mut Outbox<'_, E, Q>,
    message: &QueueMessage,
    queued: &QueuedTelemetry,
) -> usize {
    let pause = pause(&message.message_id, message.receive_count(), None, Duration::MAX);
    let part = Undelivered { kept_in: KeptIn::Message, ..queued.described() };
    let returned = outbox.note_placed(std::iter::once(part));
    postpone(outbox, message, pause.min(LONGEST_VISIBILITY_TIMEOUT)).await;
    returned
}

async fn send_again<E: Export, Q: Queue>(
    outbox: &mut Outbox<'_, E, Q>,
    message: &QueueMessage,
    queued: &QueuedTelemetry,
    request: Request,
) -> RedriveResult {
    let QueuedTelemetry { log_events, first_seen_unix_nano, .. } = queued;
    let kind = request.kind();
    let Some(default_route) = outbox.forwarder.route_to(&queued.destination) else {
        return RedriveResult::of_unknown_destination(queued, request);
    };
    let request = adapt_again(default_route.destination.config.profile, request);
    let stream = queued.stream.as_deref().map(Arc::from);
    let route = DestinationRoute { stream, ..default_route };
    let batch = RequestBatch::new(&route, request, None, Arc::new(log_events.clone()));
    let destinations = &outbox.forwarder.destinations;
    let context = outbox.delivery_context(message.receive_count());
    let mut accepted = 0;
    let mut retry_after = None;
    let mut undelivered = Vec::new();
    for sent in deliver(destinations, vec![batch], context, None).await {
        accepted += sent.outcome.accepted;
        retry_after = retry_after.max(sent.outcome.retry_after);
        undelivered.extend(outbox.note_sent(sent, *first_seen_unix_nano));
    }
    let first_received = message.first_received_unix_nano();
    let destination = route.destination;
    let others_were_accepted =
        destination.with_breaker(kind, |breaker| breaker.has_accepted_since(first_received));
    RedriveResult {
        kind,
        accepted,
        retry_after,
        undelivered,
        policy: destination.policy,
        others_were_accepted,
    }
}

/// Adapts log records that were queued by an earlier version, without the types of columns. Those of this version stay as they are.
fn adapt_again(profile: Profile, request: Request) -> Request {
    let kind = request.kind();
    if kind != SignalKind::Logs {
        return request;
    }
    let adapted = sanitize(profile, request, "").request;
    adapted.unwrap_or_else(|| Request::trusted(kind, Vec::new()))
}

/// Hides the message until the next attempt. If that fails, it comes again after the queue's visibility timeout.
async fn postpone<E: Export, Q: Queue>(
    outbox: &Outbox<'_, E, Q>,
    message: &QueueMessage,
    after: Duration,
) {
    let Some(queue) = &outbox.forwarder.queues.retry else { return };
    let deadline = outbox.invocation.queue_deadline;
    if let Err(error) = queue.postpone(&message.receipt_handle, after, deadline).await {
        tracing::warn!(%error, "cannot change the message's visibility timeout, SQS delivers it again after the present one");
    }
}

/// Message retention of the queues in `template.yaml`, which is also the maximum of SQS.
pub(crate) const RETENTION: Duration = Duration::from_hours(14 * 24);
/// Messages are dead-lettered this long before the queue deletes them.
const RETENTION_MARGIN: Duration = Duration::from_hours(1);
/// The pause after the first attempt from the retry queue. Telemetry comes to that attempt without a pause. An execution whose history
/// isn't ready waits this long first.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The limit of `Retry-After`, because a backend may be healthy again long before the day that it asked for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(15);
/// Pauses of the first hours, short so that a recovered backend gets its records soon.
const EARLY_PAUSES: Backoff = Backoff::new(FIRST_PAUSE, LONGEST_RETRY_AFTER);
/// Pauses of a long outage.
const LATE_PAUSES: Backoff = Backoff::new(FIRST_PAUSE, Duration::from_hours(1));
/// After this many attempts, about four hours, the outage counts as long.
const MANY_ATTEMPTS: u32 = 20;

/// The result of sending a queued request again.
struct RedriveResult {
    kind: SignalKind,
    /// Number of accepted items.
    accepted: usize,
    retry_after: Option<Duration>,
    undelivered: Vec<QueuedTelemetry>,
    /// The policy of the destination.
    policy: IngestPolicy,
    /// `true` if the backend has accepted other telemetry of this signal since the message was first received.
    others_were_accepted: bool,
}

impl RedriveResult {
    fn of_unknown_destination(queued: &QueuedTelemetry, request: Request) -> Self {
        let QueuedTelemetry { destination, log_events, first_seen_unix_nano, .. } = queued;
        let kind = request.kind();
        let text = format!(
            "no setting names the destination {destination}; add it again, or the message waits until it expires"
        );
        let items = request.items();
        let reason = Reason::UnknownDestination { text };
        let part = UndeliveredPart { request, items, reason, fate: Fate::ParkWithAlarm };
        let stream = queued.stream.as_deref();
        let queued =
            QueuedTelemetry::of_part(part, destination, stream, log_events, *first_seen_unix_nano);
        Self {
            kind,
            accepted: 0,
            retry_after: None,
            undelivered: vec![queued],
            policy: IngestPolicy::any_time(),
            others_were_accepted: false,
        }
    }

    /// Dead-letters the parts for which another attempt makes no sense.
    ///
    /// A single record is dead-lettered if the backend rejects it again and has accepted others meanwhile. Records outside the
    /// ingest window are dead-lettered once the whole piece is outside. Other pieces are dead-lettered shortly before the queue
    /// would delete them.
    fn stop_hopeless_retries(&mut self, now_unix_nano: u64) {
        for part in self.undelivered.iter_mut().filter(|part| !part.is_dead_letter()) {
            if part.fate == Fate::ParkRefused && self.others_were_accepted {
                part.fate = Fate::DeadLetter;
            } else if let Err(too_late) = time_left(self.kind, part, self.policy, now_unix_nano) {
                part.reason = format!("{too_late}; last answer: {}", part.reason);
                part.fate = Fate::DeadLetter;
            }
        }
    }

    /// The time that is left for attempts with all parts that are sent again.
    fn time_left(&self, now_unix_nano: u64) -> Duration {
        let retried = self.undelivered.iter().filter(|part| !part.is_dead_letter());
        let times =
            retried.filter_map(|part| time_left(self.kind, part, self.policy, now_unix_nano).ok());
        times.min().unwrap_or(Duration::MAX)
    }
}

/// The reason why a retry no longer makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum TooLate {
    #[error("the queue would soon forget it")]
    Queue,
    #[error("older than the ingest window")]
    IngestWindow,
}

/// The time that is left for attempts.
fn time_left(
    kind: SignalKind,
    queued: &QueuedTelemetry,
    policy: IngestPolicy,
    now_unix_nano: u64,
) -> Result<Duration, TooLate> {
    let age = Duration::from_nanos(now_unix_nano.saturating_sub(queued.first_seen_unix_nano));
    let longest_age = RETENTION.saturating_sub(RETENTION_MARGIN);
    let in_queue = longest_age.checked_sub(age).ok_or(TooLate::Queue)?;
    let can_expire = policy.old_records == OldRecords::DeadLetter && kind != SignalKind::Metrics;
    let Some(window) = policy.window.filter(|_| can_expire) else { return Ok(in_queue) };
    // To the backend, items without a time are of 1970.
    let in_window = |time: Option<u64>| window.time_left(time.unwrap_or(0), now_unix_nano);
    in_window(queued.newest_unix_nano).ok_or(TooLate::IngestWindow)?;
    // A partly expired piece comes again. Its expired items are removed before it is sent.
    Ok(in_queue.min(in_window(queued.oldest_unix_nano).unwrap_or_default()))
}

/// The pause before the next attempt: grows with the number of attempts, respects the backend's `Retry-After`, and leaves time
/// for another attempt before the message expires. The id spreads the messages of one outage over time.
fn pause(
    message_id: &str,
    receive_count: u32,
    retry_after: Option<Duration>,
    time_left: Duration,
) -> Duration {
    let jitter = Jitter::of(&(message_id, receive_count));
    let attempt = receive_count.max(1);
    let pauses = if attempt < MANY_ATTEMPTS { EARLY_PAUSES } else { LATE_PAUSES };
    let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
    let wanted = pauses.delay(attempt - 1, jitter).max(asked);
    wanted.min((time_left / 2).max(FIRST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::ingest_window::IngestWindow;
    use crate::queues::Content;
    use crate::source::LogEventRange;

    const NOW: u64 = 1_790_000_000_000_000_000;
    const HOUR: u64 = 3_600_000_000_000;
    const MINUTE: u64 = HOUR / 60;

    fn policy(old_records: OldRecords) -> IngestPolicy {
        IngestPolicy { window: Some(IngestWindow { past: Duration::from_hours(5) }), old_records }
    }

    /// The decision about a request of these ages that the forwarder has had for some time.
    fn decided(
        kind: SignalKind,
        (oldest, newest): (u64, u64),
        first_seen: u64,
        policy: IngestPolicy,
    ) -> QueuedTelemetry {
        let log_events = LogEventRange::default();
        let reason = "rejected: full".to_owned();
        let part = QueuedTelemetry {
            oldest_unix_nano: Some(NOW - oldest),
            newest_unix_nano: Some(NOW - newest),
            ..QueuedTelemetry::new(
                "default",
                Content::EMPTY,
                1,
                reason,
                &log_events,
                NOW - first_seen,
            )
        };
        let mut result = RedriveResult {
            kind,
            accepted: 0,
            retry_after: None,
            undelivered: vec![part],
            policy,
            others_were_accepted: false,
        };
        result.stop_hopeless_retries(NOW);
        result.undelivered.remove(0)
    }

    #[test]
    fn items_are_dead_lettered_once_window_or_retention_ends() {
        use OldRecords::{DeadLetter, Drop, Restamp};
        use SignalKind::{Logs, Metrics, Traces};
        const DAY: u64 = 24 * HOUR;
        #[track_caller]
        fn check(
            kind: SignalKind,
            ages: (u64, u64),
            first_seen: u64,
            policy: IngestPolicy,
            expected: Option<TooLate>,
        ) {
            let part = decided(kind, ages, first_seen, policy);
            let expected =
                expected.map(|too_late| format!("{too_late}; last answer: rejected: full"));
            let reason = part.is_dead_letter().then_some(part.reason);
            assert_eq!(reason, expected, "{kind} {ages:?} {policy:?}");
        }
        let window = Some(TooLate::IngestWindow);
        let retention = Some(TooLate::Queue);
        for kind in [Logs, Traces] {
            check(kind, (5 * HOUR - MINUTE, 5 * HOUR - MINUTE), HOUR, policy(DeadLetter), None);
            check(kind, (5 * HOUR, 5 * HOUR), HOUR, policy(DeadLetter), window);
            // One is still inside. The others are sorted out before it is sent.
            check(kind, (6 * HOUR, 0), HOUR, policy(DeadLetter), None);
            // Other policies restamp or drop the records before they are sent.
            let old = (6 * HOUR, 6 * HOUR);
            check(kind, old, HOUR, policy(Drop), None);
            check(kind, old, 14 * DAY - HOUR, policy(Restamp), None);
            check(kind, old, 14 * DAY - HOUR + 1, policy(Restamp), retention);
        }
        let old = (13 * DAY, 13 * DAY);
        check(Metrics, old, 14 * DAY - HOUR, policy(DeadLetter), None);
        check(Metrics, old, 14 * DAY - HOUR + 1, policy(DeadLetter), retention);
        let no_window = IngestPolicy { window: None, old_records: DeadLetter };
        check(Logs, old, 13 * DAY, no_window, None);
        check(Traces, old, 14 * DAY, no_window, retention);
        // A clock that is slower than the clock of the first invocation.
        let mut ahead = decided(Logs, (0, 0), 0, policy(DeadLetter));
        ahead.first_seen_unix_nano = u64::MAX;
        assert!(time_left(Logs, &ahead, policy(DeadLetter), NOW).is_ok());
    }

    #[test]
    fn the_retry_delay_grows_with_the_attempts_within_the_time_that_is_left() {
        let pause = |receive_count, retry_after, left: u64| {
            let after = Duration::from_secs(retry_after);
            let left = Duration::from_secs(left);
            pause("m", receive_count, Some(after), left).as_secs()
        };
        // From half of it to all of it, by message.
        for (receive_count, full) in
            [(0, 30), (1, 30), (2, 60), (5, 480), (6, 900), (19, 900), (20, 3600), (u32::MAX, 3600)]
        {
            let pause = pause(receive_count, 0, 86_400);
            assert!((full / 2..full).contains(&pause), "{receive_count}: {pause}");
        }
        assert_eq!(pause(1, 600, 86_400), 600);
        assert_eq!(pause(1, 86_400, 86_400), 900);
        // One attempt before the window closes, at half of the time.
        assert_eq!(pause(1, 86_400, 1200), 600);
        assert_eq!(pause(1, 86_400, 5), 30);
    }
}
