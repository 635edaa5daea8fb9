//! Puts undelivered telemetry into the retry queue or the dead-letter queue. What the queue does not accept is returned to Lambda.

use crate::queues::{Content, MAX_MESSAGE_BYTES, Message, Parked, Queue, QueueError};
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
        let (content, reason) = (Content::Request(request), reason.to_string());
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
    let (retry, retry_parts) = messages(queues.retry.is_some(), retry, report);
    let (dead, dead_parts) = messages(queues.dead_letters.is_some(), dead, report);
    let (retried, dead_lettered) = tokio::join!(
        send(queues.retry.as_ref(), retry, delay, deadline),
        send(queues.dead_letters.as_ref(), dead, Duration::ZERO, deadline),
    );
    note(retry_parts, retried, &KeptIn::RetryQueue, report);
    note(dead_parts, dead_lettered, &KeptIn::DeadLetterQueue, report);
}

/// Encodes messages, each with its description. Notes telemetry without a queue or too large for a message.
fn messages(
    has_queue: bool,
    to_enqueue: Vec<ToEnqueue>,
    report: &mut Report,
) -> (Vec<Message>, Vec<Undelivered>) {
    let (mut encoded, mut parts) = (Vec::new(), Vec::new());
    for part in to_enqueue {
        let described = part.described();
        if !has_queue {
            report.note(described);
            continue;
        }
        let (messages, too_large) = part.parked.into_messages(MAX_MESSAGE_BYTES);
        for large in too_large {
            let items = large.parked.items;
            let reason = format!("{}; and {large}", described.reason);
            report.note(Undelivered { items, reason, ..described.clone() });
        }
        for message in messages {
            parts.push(Undelivered { items: message.items, ..described.clone() });
            encoded.push(message);
        }
    }
    (encoded, parts)
}

async fn send<Q: Queue>(
    queue: Option<&Q>,
    messages: Vec<Message>,
    delay: Duration,
    deadline: Instant,
) -> Vec<Result<(), QueueError>> {
    match queue.filter(|_| !messages.is_empty()) {
        Some(queue) => queue.send(messages, delay, deadline).await,
        None => Vec::new(),
    }
}

/// Notes the place of each message. A message without an answer counts as refused.
fn note(
    parts: Vec<Undelivered>,
    sent: Vec<Result<(), QueueError>>,
    there: &KeptIn,
    report: &mut Report,
) {
    let mut sent = sent.into_iter();
    for part in parts {
        let kept_in = match sent.next() {
            Some(Ok(())) => there.clone(),
            Some(Err(error)) => KeptIn::Returned(Some(error)),
            None => KeptIn::Returned(None),
        };
        report.note(Undelivered { kept_in, ..part });
    }
}
