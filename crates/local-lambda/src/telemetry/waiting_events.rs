//! The waiting events of one subscriber: bounded, in order, kept until they are acknowledged.

use super::events::Category;
use super::settings::Buffering;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Extra room for Lambda's own events, so that a flood of lines does not displace them.
const PLATFORM_RESERVE_BYTES: usize = 1024 * 1024;

/// The most bytes that wait for one subscriber.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The pauses after failed deliveries: doubled each time.
const MIN_BACK_OFF: Duration = Duration::from_millis(20);
const MAX_BACK_OFF: Duration = Duration::from_secs(1);

/// The state of deliveries: Lambda's own processes stop with the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Frozen,
    /// Batches leave when they are full or old enough; the time frozen does not count.
    Flowing {
        since: Instant,
    },
    /// The environment ends: batches leave at once.
    Flushing,
}

#[derive(Debug)]
pub(super) struct WaitingEvents {
    /// Events in delivery stay at the front until they are acknowledged.
    events: VecDeque<WaitingEvent>,
    bytes: usize,
    dropped: DroppedEvents,
    /// The earliest time of the next attempt.
    not_before: Instant,
    back_off: Duration,
}

#[derive(Debug)]
struct WaitingEvent {
    json: String,
    since: Instant,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct DroppedEvents {
    pub(super) records: u64,
    pub(super) bytes: usize,
}

impl WaitingEvents {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            dropped: DroppedEvents::default(),
            not_before: now,
            back_off: MIN_BACK_OFF,
        }
    }

    /// Adds an event, or counts it as dropped if there is no room.
    pub(super) fn push(&mut self, category: Category, json: String, now: Instant) {
        let is_line = matches!(category, Category::Function | Category::Extension);
        let reserve = if is_line { 0 } else { PLATFORM_RESERVE_BYTES };
        if self.bytes + json.len() > MAX_BYTES + reserve {
            self.dropped.records += 1;
            self.dropped.bytes += json.len();
            return;
        }
        self.bytes += json.len();
        self.events.push_back(WaitingEvent { json, since: now });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn wait_after_failure(&mut self) {
        self.not_before = Instant::now() + self.back_off;
        self.back_off = (self.back_off * 2).min(MAX_BACK_OFF);
    }

    /// The time at which a batch is due; `None` if it needs another event, or a thaw.
    pub(super) fn due(&self, buffering: &Buffering, flow: Flow) -> Option<Instant> {
        let oldest = self.events.front()?;
        let is_full = self.events.len() >= buffering.max_items || self.bytes >= buffering.max_bytes;
        let due = match flow {
            Flow::Frozen => return None,
            Flow::Flowing { since } if !is_full => {
                oldest.since.max(since) + Duration::from_millis(buffering.timeout_ms)
            }
            Flow::Flowing { .. } | Flow::Flushing => oldest.since,
        };
        Some(due.max(self.not_before))
    }

    /// The next batch: as many events as fit, at least one.
    pub(super) fn batch(&self, buffering: &Buffering) -> Vec<String> {
        let mut bytes = 0;
        let fits = |event: &&WaitingEvent| {
            bytes += event.json.len();
            bytes <= buffering.max_bytes
        };
        let fitting = self.events.iter().take(buffering.max_items).take_while(fits).count();
        self.events.iter().take(fitting.max(1)).map(|event| event.json.clone()).collect()
    }

    /// Removes the first events, which the subscriber has acknowledged. Returns the events dropped since the last
    /// call.
    pub(super) fn acknowledge(&mut self, count: usize) -> Option<DroppedEvents> {
        for event in self.events.drain(..count.min(self.events.len())) {
            self.bytes -= event.json.len();
        }
        self.back_off = MIN_BACK_OFF;
        let dropped = std::mem::take(&mut self.dropped);
        (dropped.records > 0).then_some(dropped)
    }
}
