//! Puts what was not delivered into the retry queue or the dead-letter queue, and says where each part is kept: what no queue
//! takes goes back to whoever invoked the forwarder.

use crate::ledger::{Account, Ledger};
use crate::parking::{Content, MAX_MESSAGE_BYTES, Parked, Queue, QueueError};
use backend::Fate;
use std::time::Duration;
use tokio::time::Instant;
use wire::SignalKind;

/// The queues of a stack. Without one, what belongs there is returned.
#[derive(Clone, Debug)]
pub struct Queues<Q> {
    /// Keeps what is to be sent again.
    pub retry: Option<Q>,
    /// Keeps what is not, with its reason.
    pub dead_letters: Option<Q>,
}

impl<Q> Default for Queues<Q> {
    fn default() -> Self {
        Self { retry: None, dead_letters: None }
    }
}

/// Where something is kept that was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptIn {
    /// In the retry queue.
    RetryQueue,
    /// In the dead-letter queue.
    DeadLetterQueue,
    /// In its message of the retry queue, which comes again.
    Message,
    /// In its log group only: a line that does not decode, where no dead-letter queue takes it.
    LogGroup,
    /// With whoever invoked the forwarder, who delivers it again; why it is in no queue, where there
    /// is one.
    Returned(Option<QueueError>),
}

/// Something that was not delivered, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// Name of the destination.
    pub destination: String,
    /// Its signal; `None` for lines and log events that became no request.
    pub kind: Option<SignalKind>,
    /// Number of its items.
    pub items: usize,
    /// What happened last.
    pub reason: String,
    /// Where it is kept.
    pub kept_in: KeptIn,
    /// True if the rest of the same request was taken, which a second delivery stores twice.
    pub partial: bool,
    /// True if it stays undeliverable until a person changes a setting.
    pub alarm: bool,
}

/// What was not delivered, to be put into a queue.
#[derive(Debug)]
pub(crate) struct ToEnqueue {
    pub(crate) parked: Parked,
    pub(crate) fate: Fate,
    /// Whether its log group holds it besides, from which it is not removed.
    pub(crate) is_in_log_group: bool,
}

impl ToEnqueue {
    /// Where it is kept if it can be put into no queue.
    fn without_queue(&self) -> KeptIn {
        if self.is_in_log_group { KeptIn::LogGroup } else { KeptIn::Returned(None) }
    }
}

/// The account of what was put into queues.
#[derive(Debug, Default)]
pub(crate) struct Enqueued {
    pub(crate) account: Account,
    pub(crate) undelivered: Vec<Undelivered>,
}

/// Puts all of it into the queues, to be received from the retry queue after `delay`.
pub(crate) async fn enqueue<Q: Queue>(
    queues: &Queues<Q>,
    to_enqueue: Vec<ToEnqueue>,
    delay: Duration,
    deadline: Instant,
) -> Enqueued {
    let (retry, dead): (Vec<_>, Vec<_>) = to_enqueue.into_iter().partition(|part| {
        matches!(part.fate, Fate::Park | Fate::ParkRefused | Fate::ParkWithAlarm)
    });
    let retried = send(queues.retry.as_ref(), KeptIn::RetryQueue, retry, delay, deadline);
    let dead_lettered =
        send(queues.dead_letters.as_ref(), KeptIn::DeadLetterQueue, dead, Duration::ZERO, deadline);
    let (mut enqueued, dead_lettered) = tokio::join!(retried, dead_lettered);
    enqueued.account += dead_lettered.account;
    enqueued.undelivered.extend(dead_lettered.undelivered);
    enqueued
}

/// What is said about something, before it is known where it is kept.
fn described(part: &ToEnqueue) -> Undelivered {
    let Parked { destination, content, items, reason, partial, .. } = &part.parked;
    let kind = match content {
        Content::Request(request) => Some(request.kind()),
        _ => None,
    };
    Undelivered {
        destination: destination.clone(),
        kind,
        items: *items,
        reason: reason.clone(),
        kept_in: KeptIn::Returned(None),
        partial: *partial,
        alarm: part.fate == Fate::ParkWithAlarm,
    }
}

async fn send<Q: Queue>(
    queue: Option<&Q>,
    there: KeptIn,
    to_enqueue: Vec<ToEnqueue>,
    delay: Duration,
    deadline: Instant,
) -> Enqueued {
    let mut enqueued = Enqueued::default();
    if to_enqueue.is_empty() {
        return enqueued;
    }
    let Some(queue) = queue else {
        for part in to_enqueue {
            enqueued.note(Undelivered { kept_in: part.without_queue(), ..described(&part) });
        }
        return enqueued;
    };
    let mut messages = Vec::new();
    let mut about = Vec::new();
    for part in to_enqueue {
        let described = described(&part);
        let without_queue = part.without_queue();
        let (parts, too_large) = part.parked.into_messages(MAX_MESSAGE_BYTES);
        for large in too_large {
            let items = large.parked.items;
            let reason = format!("{}; and {large}", described.reason);
            let kept_in = without_queue.clone();
            enqueued.note(Undelivered { items, reason, kept_in, ..described.clone() });
        }
        about.extend(
            parts.iter().map(|part| Undelivered { items: part.items, ..described.clone() }),
        );
        messages.extend(parts);
    }
    if messages.is_empty() {
        return enqueued;
    }
    let mut sent = queue.send(messages, delay, deadline).await.into_iter();
    for about in about {
        // A queue that says nothing about a message has not taken it.
        let kept_in = match sent.next() {
            Some(Ok(())) => there.clone(),
            Some(Err(error)) => KeptIn::Returned(Some(error)),
            None => KeptIn::Returned(None),
        };
        enqueued.note(Undelivered { kept_in, ..about });
    }
    enqueued
}

impl Enqueued {
    fn note(&mut self, undelivered: Undelivered) {
        let items = undelivered.items;
        let ledger = match &undelivered.kept_in {
            KeptIn::RetryQueue => Ledger { parked: items, ..Ledger::default() },
            KeptIn::LogGroup => Ledger { dropped: items, ..Ledger::default() },
            KeptIn::DeadLetterQueue => Ledger { dead_lettered: items, ..Ledger::default() },
            KeptIn::Message => Ledger { returned: items, ..Ledger::default() },
            // What may be in the queue all the same comes a second time, and is counted for it.
            KeptIn::Returned(error) => Ledger {
                returned: items,
                ambiguous: if error.as_ref().is_some_and(QueueError::is_ambiguous) {
                    items
                } else {
                    0
                },
                ..Ledger::default()
            },
        };
        self.account.add(&undelivered.destination, ledger);
        let is_same = |other: &Undelivered| {
            *other == Undelivered { items: other.items, ..undelivered.clone() }
        };
        match self.undelivered.iter().position(is_same) {
            Some(at) => {
                if let Some(same) = self.undelivered.get_mut(at) {
                    same.items += items;
                }
            }
            None if self.undelivered.len() < MOST_NOTES => self.undelivered.push(undelivered),
            None => {}
        }
    }
}

/// The ledger counts all; the log names the first.
const MOST_NOTES: usize = 100;

/// No queue: a type without values, for a forwarder whose [`Queues`] are empty.
#[derive(Clone, Copy, Debug)]
pub enum NoQueue {}

impl Queue for NoQueue {
    async fn send(
        &self,
        _messages: Vec<crate::parking::Message>,
        _delay: Duration,
        _deadline: Instant,
    ) -> Vec<Result<(), QueueError>> {
        match *self {}
    }

    async fn postpone(&self, _: &str, _: Duration, _: Instant) -> Result<(), QueueError> {
        match *self {}
    }
}
