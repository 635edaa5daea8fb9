//! Puts undelivered telemetry into the retry queue or the dead-letter queue. What the queue does not accept is returned to Lambda.

use crate::queues::{Content, MAX_MESSAGE_BYTES, Parked, Queue};
use crate::report::{KeptIn, Report, Undelivered};
use crate::source::LogEventRange;
use backend::{Fate, UndeliveredPart};
use std::time::Duration;
use tokio::time::Instant;

/// The queues of a stack. Without a queue, its telemetry is returned to Lambda.
#[derive(Clone, Debug)]
pub struct Queues<Q> {
    /// Receives telemetry to send again.
    pub retry: Option<Q>,
    /// Receives telemetry that is not retried, with its reason.
    pub dead_letters: Option<Q>,
}

impl<Q> Default for Queues<Q> {
    fn default() -> Self {
        Self { retry: None, dead_letters: None }
    }
}

/// Undelivered telemetry on its way to a queue.
#[derive(Debug)]
pub(crate) struct ToEnqueue {
    pub(crate) parked: Parked,
    pub(crate) fate: Fate,
    /// `true` if its log group also contains it.
    pub(crate) is_in_log_group: bool,
}

impl ToEnqueue {
    /// A part of a request that its destination did not accept.
    pub(crate) fn of_part(
        part: UndeliveredPart,
        destination: &str,
        stream: Option<&str>,
        log_events: &LogEventRange,
        first_seen_unix_nano: u64,
    ) -> Self {
        let UndeliveredPart { request, items, reason, fate } = part;
        let content = Content::Request(request);
        let reason = reason.to_string();
        let parked = Parked {
            stream: stream.map(str::to_owned),
            partial: fate == Fate::DeadLetterPartial,
            ..Parked::new(destination, content, items, reason, log_events, first_seen_unix_nano)
        };
        Self { parked, fate, is_in_log_group: false }
    }

    /// `false`: it is sent again.
    pub(crate) fn is_dead_letter(&self) -> bool {
        matches!(self.fate, Fate::DeadLetter | Fate::DeadLetterPartial)
    }

    /// Describes it, with its place if no queue accepts it.
    pub(crate) fn described(&self) -> Undelivered {
        let Parked { destination, content, items, reason, partial, .. } = &self.parked;
        let kind = match content {
            Content::Request(request) => Some(request.kind()),
            _ => None,
        };
        Undelivered {
            destination: destination.clone(),
            kind,
            items: *items,
            reason: reason.clone(),
            kept_in: if self.is_in_log_group { KeptIn::LogGroup } else { KeptIn::Returned(None) },
            partial: *partial,
            alarm: self.fate == Fate::ParkWithAlarm,
        }
    }
}

/// Puts telemetry into its queues, and notes its place. Messages of the retry queue are delayed by `delay`.
pub(crate) async fn enqueue<Q: Queue>(
    queues: &Queues<Q>,
    to_enqueue: Vec<ToEnqueue>,
    delay: Duration,
    deadline: Instant,
    report: &mut Report,
) {
    let (dead, retry): (Vec<_>, Vec<_>) =
        to_enqueue.into_iter().partition(ToEnqueue::is_dead_letter);
    let (retry, dead) = tokio::join!(
        put(queues.retry.as_ref(), retry, KeptIn::RetryQueue, delay, deadline),
        put(queues.dead_letters.as_ref(), dead, KeptIn::DeadLetterQueue, Duration::ZERO, deadline),
    );
    retry.into_iter().chain(dead).for_each(|part| report.note(part));
}

/// Puts telemetry into one queue, and returns it with its place. A message without an answer counts as refused.
async fn put<Q: Queue>(
    queue: Option<&Q>,
    to_enqueue: Vec<ToEnqueue>,
    there: KeptIn,
    delay: Duration,
    deadline: Instant,
) -> Vec<Undelivered> {
    let Some(queue) = queue else {
        return to_enqueue.iter().map(ToEnqueue::described).collect();
    };
    let mut messages = Vec::new();
    let mut parts = Vec::new();
    for part in to_enqueue {
        let described = part.described();
        for message in part.parked.into_messages(MAX_MESSAGE_BYTES) {
            parts.push(Undelivered { items: message.items, ..described.clone() });
            messages.push(message);
        }
    }
    if messages.is_empty() {
        return Vec::new();
    }
    let mut sent = queue.send(messages, delay, deadline).await.into_iter();
    let placed = parts.into_iter().map(|part| {
        let kept_in = match sent.next() {
            Some(Ok(())) => there.clone(),
            Some(Err(error)) => KeptIn::Returned(Some(error)),
            None => KeptIn::Returned(None),
        };
        Undelivered { kept_in, ..part }
    });
    placed.collect()
}
