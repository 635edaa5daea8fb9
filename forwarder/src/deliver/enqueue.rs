//! Puts what was not delivered where it is kept: the retry queue, the dead-letter queue, or back with
//! whoever invoked the forwarder.

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
pub enum Kept {
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
    pub kept: Kept,
    /// True if the rest of the same request was taken, which a second delivery stores twice.
    pub partial: bool,
    /// True if it stays undeliverable until a person changes a setting.
    pub alarm: bool,
}

/// What is to be kept.
#[derive(Debug)]
pub(crate) struct Keep {
    pub(crate) parked: Parked,
    pub(crate) fate: Fate,
    /// Whether its log group holds it besides, from which it is not removed.
    pub(crate) is_in_log_group: bool,
}

impl Keep {
    /// Where it is kept if it can be put into no queue.
    fn without_queue(&self) -> Kept {
        if self.is_in_log_group { Kept::LogGroup } else { Kept::Returned(None) }
    }
}

/// The account of what was kept.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    pub(crate) account: Account,
    pub(crate) undelivered: Vec<Undelivered>,
}

/// Keeps all of it, and says where.
pub(crate) async fn place<Q: Queue>(
    queues: &Queues<Q>,
    keep: Vec<Keep>,
    delay: Duration,
    deadline: Instant,
) -> Placed {
    let (retry, dead): (Vec<_>, Vec<_>) =
        keep.into_iter().partition(|keep| matches!(keep.fate, Fate::Park | Fate::ParkWithAlarm));
    let retried = send(queues.retry.as_ref(), Kept::RetryQueue, retry, delay, deadline);
    let buried =
        send(queues.dead_letters.as_ref(), Kept::DeadLetterQueue, dead, Duration::ZERO, deadline);
    let (mut placed, buried) = tokio::join!(retried, buried);
    placed.account += buried.account;
    placed.undelivered.extend(buried.undelivered);
    placed
}

/// What is said about something, before it is known where it is kept.
fn described(keep: &Keep) -> Undelivered {
    let Parked { destination, content, items, reason, partial, .. } = &keep.parked;
    let kind = match content {
        Content::Request(request) => Some(request.kind()),
        _ => None,
    };
    Undelivered {
        destination: destination.clone(),
        kind,
        items: *items,
        reason: reason.clone(),
        kept: Kept::Returned(None),
        partial: *partial,
        alarm: keep.fate == Fate::ParkWithAlarm,
    }
}

async fn send<Q: Queue>(
    queue: Option<&Q>,
    there: Kept,
    keep: Vec<Keep>,
    delay: Duration,
    deadline: Instant,
) -> Placed {
    let mut placed = Placed::default();
    if keep.is_empty() {
        return placed;
    }
    let Some(queue) = queue else {
        for keep in keep {
            placed.note(Undelivered { kept: keep.without_queue(), ..described(&keep) });
        }
        return placed;
    };
    let mut messages = Vec::new();
    let mut about = Vec::new();
    for keep in keep {
        let described = described(&keep);
        let without_queue = keep.without_queue();
        let (parts, too_large) = keep.parked.into_messages(MAX_MESSAGE_BYTES);
        for large in too_large {
            let items = large.parked.items;
            let reason = format!("{}; and {large}", described.reason);
            let kept = without_queue.clone();
            placed.note(Undelivered { items, reason, kept, ..described.clone() });
        }
        about.extend(
            parts.iter().map(|part| Undelivered { items: part.items, ..described.clone() }),
        );
        messages.extend(parts);
    }
    if messages.is_empty() {
        return placed;
    }
    let mut sent = queue.send(messages, delay, deadline).await.into_iter();
    for about in about {
        // A queue that says nothing about a message has not taken it.
        let kept = match sent.next() {
            Some(Ok(())) => there.clone(),
            Some(Err(error)) => Kept::Returned(Some(error)),
            None => Kept::Returned(None),
        };
        placed.note(Undelivered { kept, ..about });
    }
    placed
}

impl Placed {
    fn note(&mut self, undelivered: Undelivered) {
        let items = undelivered.items;
        let ledger = match &undelivered.kept {
            Kept::RetryQueue => Ledger { parked: items, ..Ledger::default() },
            Kept::DeadLetterQueue | Kept::LogGroup => {
                Ledger { dead_lettered: items, ..Ledger::default() }
            }
            Kept::Message => Ledger { returned: items, ..Ledger::default() },
            // What may be in the queue all the same comes a second time, and is counted for it.
            Kept::Returned(error) => Ledger {
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
