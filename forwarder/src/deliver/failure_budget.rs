//! Limits the time spent on a failing destination. An outage must not use up the account's concurrency.

use super::outgoing::Lane;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The last sign of life of a lane in this delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Since {
    /// The first request was sent then, and nothing has been accepted.
    FirstSent(Instant),
    LastTaken(Instant),
}

/// The time that each lane may go without an accepted item, in one event.
pub(crate) struct FailureBudget {
    longest: Duration,
    failing_since: BTreeMap<Lane, Instant>,
}

impl FailureBudget {
    pub(crate) fn new(longest: Duration) -> Self {
        Self { longest, failing_since: BTreeMap::new() }
    }

    /// The deadline of a lane: `longest` after it began to fail, in this delivery or an earlier one.
    pub(crate) fn deadline(&self, lane: Lane, since: Since) -> Instant {
        let since = match since {
            Since::FirstSent(at) => self.failing_since.get(&lane).copied().unwrap_or(at),
            Since::LastTaken(at) => at,
        };
        since + self.longest
    }

    /// Notes the results of a delivery that began at `began`.
    pub(crate) fn note(&mut self, verdicts: BTreeMap<Lane, Option<bool>>, began: Instant) {
        for (lane, takes) in verdicts {
            match takes {
                Some(true) => {
                    self.failing_since.remove(&lane);
                }
                Some(false) => {
                    self.failing_since.entry(lane).or_insert(began);
                }
                None => {}
            }
        }
    }
}
