//! Sends what waits: the three signals side by side, one attempt each, and an account of every item.

use super::secret::{Sending, drop_connections};
use crate::buffer::Taken;
use crate::counts::{Count, Counts};
use backend::{Fate, Outcome, Reason};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use wire::Request;

/// The most bytes of a request at the end of the environment.
pub(super) const LAST_BYTES: usize = 512 * 1024;

/// Sends to one backend.
pub(super) struct Sender {
    pub(super) client: Sending,
    /// Where events of the Telemetry API go as they came.
    pub(super) events: Option<Sending>,
    pub(super) max_request_bytes: usize,
    pub(super) counts: Arc<Counts>,
    /// Whether the log says already that the backend takes nothing.
    pub(super) has_told: AtomicBool,
    /// Whether it says already that the backend refuses a signal.
    pub(super) has_told_of_refusal: AtomicBool,
}

/// What came of a flush, as far as the next one depends on it.
#[derive(Debug, Default)]
pub(super) struct Flown {
    pub(super) failed: bool,
    /// A signal is refused, whatever it holds.
    refused: bool,
    /// Items were taken.
    delivered: bool,
    pub(super) retry_after: Option<Duration>,
}

impl Flown {
    pub(super) const FAILED: Self =
        Self { failed: true, refused: false, delivered: false, retry_after: None };

    fn and(self, other: &Self) -> Self {
        Self {
            failed: self.failed || other.failed,
            refused: self.refused || other.refused,
            delivered: self.delivered || other.delivered,
            retry_after: self.retry_after.max(other.retry_after),
        }
    }
}

/// What is left of one request.
#[derive(Default)]
struct Account {
    again: Vec<Request>,
    never: Vec<Request>,
}

impl Sender {
    /// New connections from now on.
    pub(super) fn drop_connections(&self) {
        drop_connections(&self.client);
        if let Some(events) = &self.events {
            drop_connections(events);
        }
    }

    /// Sends all of it, until `end` at most. Where it is the last flush of the environment and much waits, spans and metrics go
    /// first, and in requests so small that this thread, which compresses them, sees in between that the time is over.
    pub(super) async fn send(
        &self,
        [traces, metrics, logs]: [Taken; 3],
        events: Taken,
        end: Instant,
        is_last: bool,
    ) -> Flown {
        let otlp = Some(&self.client);
        let max_bytes = if is_last { LAST_BYTES } else { usize::MAX }.min(self.max_request_bytes);
        let first = async {
            let (traces, metrics) = tokio::join!(
                self.lane(otlp, traces, max_bytes, end),
                self.lane(otlp, metrics, max_bytes, end),
            );
            traces.and(&metrics)
        };
        let others = async {
            let (logs, events) = tokio::join!(
                self.lane(otlp, logs, max_bytes, end),
                self.lane(self.events.as_ref(), events, max_bytes, end),
            );
            logs.and(&events)
        };
        let flown = if is_last {
            let first = first.await;
            if first.failed { first } else { first.and(&others.await) }
        } else {
            let (first, others) = tokio::join!(first, others);
            first.and(&others)
        };
        if !flown.refused {
            self.has_told_of_refusal.store(false, Ordering::Relaxed);
        }
        // One signal that is refused says nothing of the backend's health where it takes another.
        let failed = flown.failed || (flown.refused && !flown.delivered);
        if failed {
            self.counts.add(Count::FailedFlushes, 1);
        } else {
            self.has_told.store(false, Ordering::Relaxed);
        }
        Flown { failed, ..flown }
    }

    /// The requests of one signal, one after the other until one fails. Each has its own account, which stands when a later one or
    /// another signal's is cut off.
    async fn lane(
        &self,
        client: Option<&Sending>,
        taken: Taken,
        max_bytes: usize,
        end: Instant,
    ) -> Flown {
        let Some(client) = client else { return Flown::default() };
        let mut flown = Flown::default();
        for part in taken.parts(max_bytes) {
            // What is not tried any more waits again.
            if flown.failed || flown.refused {
                break;
            }
            let mut account = Account::default();
            for request in wire::merge(part.requests(), max_bytes) {
                let outcome = client.export(None, request, end).await;
                self.settle(outcome, &mut account, &mut flown);
            }
            part.settle(account.again, account.never);
        }
        flown
    }

    fn settle(&self, outcome: Outcome, account: &mut Account, flown: &mut Flown) {
        self.counts.add(Count::Delivered, outcome.accepted);
        self.counts.add(Count::SentBytes, outcome.bytes_sent);
        flown.delivered |= outcome.accepted > 0;
        flown.retry_after = flown.retry_after.max(outcome.retry_after);
        if !outcome.warning.is_empty() {
            tracing::info!(warning = outcome.warning, "the backend has a warning");
        }
        for part in outcome.parts {
            let fate = match part.reason {
                // Nobody has refused what was not sent because its credentials could not be read.
                Reason::Credentials { .. } => Fate::Park,
                _ => part.fate,
            };
            match fate {
                Fate::Park => {
                    let what = "cannot deliver, will try again";
                    tell_once(&self.has_told, &part.reason, what);
                    flown.failed = true;
                    account.again.push(part.request);
                }
                Fate::ParkWithAlarm => {
                    let what = "the backend refuses what it is sent, the log has it";
                    tell_once(&self.has_told_of_refusal, &part.reason, what);
                    flown.refused = true;
                    account.never.push(part.request);
                }
                Fate::ParkRefused | Fate::DeadLetter => {
                    tell_of_refusal(
                        &part.reason,
                        part.items,
                        "refused for what it holds, the log has it",
                    );
                    account.never.push(part.request);
                }
                // The others of its items are stored, and would be stored twice.
                Fate::DeadLetterPartial => {
                    tell_of_refusal(&part.reason, part.items, "rejected by the backend");
                    self.counts.add(Count::Rejected, part.items);
                }
            }
        }
    }
}

/// One line until the backend takes something again.
fn tell_once(has_told: &AtomicBool, reason: &Reason, what: &'static str) {
    if !has_told.swap(true, Ordering::Relaxed) {
        let reason = reason.to_string();
        tracing::warn!(reason, "{what}");
    }
}

fn tell_of_refusal(reason: &Reason, items: usize, what: &'static str) {
    let reason = reason.to_string();
    tracing::error!(reason, items, "{what}");
}
