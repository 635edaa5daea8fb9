//! The waiting events of one subscriber: bounded, in order, kept until they are acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Flow;
use super::category::Category;
use super::request::Buffering;

/// Extra room for Lambda's own events, so that a flood of lines does not displace them.
const PLATFORM_RESERVE_BYTES: usize = 1024 * 1024;

/// The most bytes that wait for one subscriber.
const MAX_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Events in delivery stay at the front until they are acknowledged.
    waiting: VecDeque<Item>,
    bytes: usize,
    /// Events that a test keeps back until it releases them.
    held: Vec<(Arc<str>, String)>,
    dropped: Dropped,
}

#[derive(Debug)]
struct Item {
    kind: Arc<str>,
    json: String,
    since: Instant,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) records: u64,
    pub(super) bytes: usize,
}

/// Some events from the front of the queue, as one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) events: Vec<String>,
    pub(super) kinds: Vec<Arc<str>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Now,
    /// At this time, even if no further event comes.
    At(Instant),
    /// Not before a further event comes.
    Never,
}

impl Queue {
    /// Adds an event, or counts it as dropped if there is no room.
    pub(super) fn push(&mut self, kind: &Arc<str>, category: Category, json: String, now: Instant) {
        let is_line = matches!(category, Category::Function | Category::Extension);
        let reserve = if is_line { 0 } else { PLATFORM_RESERVE_BYTES };
        if self.bytes + json.len() > MAX_BYTES + reserve {
            self.dropped.records += 1;
            self.dropped.bytes += json.len();
            return;
        }
        self.bytes += json.len();
        self.waiting.push_back(Item { kind: Arc::clone(kind), json, since: now });
    }

    /// Keeps an event back until `release`.
    pub(super) fn hold(&mut self, kind: &Arc<str>, json: String) {
        self.held.push((Arc::clone(kind), json));
    }

    /// Passes on the events that are held back, also beyond the bound: they were accepted already.
    pub(super) fn release(&mut self, now: Instant) {
        for (kind, json) in std::mem::take(&mut self.held) {
            self.bytes += json.len();
            self.waiting.push_back(Item { kind, json, since: now });
        }
    }

    /// Decides if a batch leaves now.
    pub(super) fn readiness(&self, buffering: &Buffering, flow: Flow, now: Instant) -> Readiness {
        let Some(oldest) = self.waiting.front() else { return Readiness::Never };
        let since = match flow {
            Flow::Frozen => return Readiness::Never,
            Flow::Flushing => return Readiness::Now,
            Flow::Flowing { since } => since,
        };
        let due = oldest.since.max(since) + buffering.timeout;
        let is_full =
            self.waiting.len() >= buffering.max_items || self.bytes >= buffering.max_bytes;
        if is_full || due <= now { Readiness::Now } else { Readiness::At(due) }
    }

    /// The next batch: as many events as fit, at least one.
    pub(super) fn batch(&self, buffering: &Buffering) -> Batch {
        let mut bytes = 0;
        let fits = |item: &&Item| {
            bytes += item.json.len();
            bytes <= buffering.max_bytes
        };
        let fitting = self.waiting.iter().take(buffering.max_items).take_while(fits).count();
        let items = || self.waiting.iter().take(fitting.max(1));
        Batch {
            events: items().map(|item| item.json.clone()).collect(),
            kinds: items().map(|item| Arc::clone(&item.kind)).collect(),
        }
    }

    /// Removes the first events, which the subscriber has acknowledged. Returns the events dropped since the last
    /// call.
    pub(super) fn acknowledge(&mut self, events: usize) -> Option<Dropped> {
        for item in self.waiting.drain(..events.min(self.waiting.len())) {
            self.bytes -= item.json.len();
        }
        let dropped = std::mem::take(&mut self.dropped);
        (dropped.records > 0).then_some(dropped)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.held.len()
    }

    pub(super) fn take_all(&mut self) -> Vec<(Arc<str>, String)> {
        self.bytes = 0;
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        waiting.map(|item| (item.kind, item.json)).chain(std::mem::take(&mut self.held)).collect()
    }
}

/// The next pause after a failed delivery: doubled each time.
pub(super) fn next_back_off(after: Duration) -> Duration {
    (after * 2).min(MAX_BACK_OFF)
}

pub(super) const MIN_BACK_OFF: Duration = Duration::from_millis(20);
const MAX_BACK_OFF: Duration = Duration::from_secs(1);
