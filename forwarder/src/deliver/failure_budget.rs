//! Bounds how long a destination is tried that takes nothing: the forwarder must not eat the account's concurrency while a
//! backend is down.

use super::outgoing::Lane;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Since when a lane is waited for in this delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Since {
    /// It was sent to then for the first time, and has taken nothing.
    FirstSent(Instant),
    /// It took something then, as far as is known.
    LastTaken(Instant),
}

/// How long each destination may go on taking nothing of a signal, in one event.
pub(crate) struct FailureBudget {
    longest: Duration,
    failing_since: BTreeMap<Lane, Instant>,
}

impl FailureBudget {
    /// Nothing has failed yet; what fails is tried for `longest`.
    pub(crate) fn new(longest: Duration) -> Self {
        Self { longest, failing_since: BTreeMap::new() }
    }

    /// Until when a lane is tried: `longest` after it began to fail, in this delivery or in one before.
    pub(crate) fn deadline(&self, lane: Lane, since: Since) -> Instant {
        let since = match since {
            Since::FirstSent(at) => self.failing_since.get(&lane).copied().unwrap_or(at),
            Since::LastTaken(at) => at,
        };
        since + self.longest
    }

    /// Notes what is known after a delivery that began at `began`.
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
