//! Sends what waits: the three signals side by side, one attempt each, and an account of every item.

use crate::buffer::Taken;
use crate::counts::{Count, Counts};
use backend::{Client, Fate, LeanTransport, Outcome, Reason};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use wire::Request;

/// Sends to one backend.
pub(super) struct Sender {
    pub(super) client: Client<LeanTransport>,
    pub(super) max_request_bytes: usize,
    pub(super) counts: Arc<Counts>,
    /// Whether the log says already that the backend takes nothing.
    pub(super) has_told: AtomicBool,
}

/// What came of a flush, as far as the next one depends on it.
#[derive(Debug, Default)]
pub(super) struct Flown {
    pub(super) failed: bool,
    pub(super) retry_after: Option<Duration>,
}

/// What is left of the requests of one signal.
#[derive(Default)]
struct Account {
    again: Vec<Request>,
    never: Vec<Request>,
    flown: Flown,
}

impl Sender {
    /// Sends all of it, until `end` at most.
    pub(super) async fn send(&self, [traces, metrics, logs]: [Taken; 3], end: Instant) -> Flown {
        let lanes =
            tokio::join!(self.lane(traces, end), self.lane(metrics, end), self.lane(logs, end));
        let lanes = <[Flown; 3]>::from(lanes);
        let failed = lanes.iter().any(|flown| flown.failed);
        if failed {
            self.counts.add(Count::FailedFlushes, 1);
        } else {
            self.has_told.store(false, Ordering::Relaxed);
        }
        Flown { failed, retry_after: lanes.iter().filter_map(|flown| flown.retry_after).max() }
    }

    /// The requests of one signal, one after the other until one fails. Each signal has its own account, which stands when another
    /// one's requests are cut off.
    async fn lane(&self, taken: Taken, end: Instant) -> Flown {
        let mut account = Account::default();
        for request in wire::merge(taken.requests(), self.max_request_bytes) {
            if account.flown.failed {
                account.again.push(request);
            } else {
                let outcome = self.client.export(None, request, end).await;
                self.settle(outcome, &mut account);
            }
        }
        taken.settle(account.again, account.never);
        account.flown
    }

    fn settle(&self, outcome: Outcome, account: &mut Account) {
        self.counts.add(Count::Delivered, outcome.accepted);
        account.flown.retry_after = account.flown.retry_after.max(outcome.retry_after);
        if !outcome.warning.is_empty() {
            tracing::info!(warning = outcome.warning, "the backend has a warning");
        }
        for part in outcome.parts {
            match part.fate {
                Fate::Park => {
                    self.tell_of_failure(&part.reason, "cannot deliver, will try again");
                    account.flown.failed = true;
                    account.again.push(part.request);
                }
                Fate::ParkWithAlarm => {
                    self.tell_of_failure(
                        &part.reason,
                        "the backend refuses what it is sent, the log has it",
                    );
                    account.flown.failed = true;
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

    /// One line until the backend takes something again.
    fn tell_of_failure(&self, reason: &Reason, what: &'static str) {
        if !self.has_told.swap(true, Ordering::Relaxed) {
            let reason = reason.to_string();
            tracing::warn!(reason, "{what}");
        }
    }
}

fn tell_of_refusal(reason: &Reason, items: usize, what: &'static str) {
    let reason = reason.to_string();
    tracing::error!(reason, items, "{what}");
}
