//! What waits for one subscriber: bounded, in the order of its making, kept until it was acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Flow;
use super::category::Category;
use super::request::Buffering;

/// What Lambda's own events may take beyond the bound, so that a flood of lines does not displace them.
const PLATFORM_RESERVE_BYTES: usize = 1024 * 1024;

/// The most events that are held back on a test's request.
const MAX_HELD: usize = 10_000;

#[derive(Debug)]
pub(super) struct Queue {
    /// What is being delivered stays at the front until it was acknowledged.
    waiting: VecDeque<Item>,
    bytes: usize,
    max_bytes: usize,
    held: Vec<Held>,
    dropped: Dropped,
}

#[derive(Debug)]
struct Item {
    kind: Arc<str>,
    json: String,
    since: Instant,
}

/// An event that a test keeps back, for a time or until it is released.
#[derive(Debug)]
struct Held {
    kind: Arc<str>,
    json: String,
    until: Option<Instant>,
}

/// What did not fit since the subscriber was last told of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) records: u64,
    pub(super) bytes: usize,
}

/// Some events from the front of the queue, as one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) events: Vec<String>,
    /// The `type` of each.
    pub(super) kinds: Vec<Arc<str>>,
}

/// Whether a batch is to leave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Now,
    /// At this time, even if no further event comes.
    At(Instant),
    /// Not before a further event comes.
    Never,
}

impl Queue {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            max_bytes,
            held: Vec::new(),
            dropped: Dropped::default(),
        }
    }

    /// Adds an event; `false` where it found no room.
    pub(super) fn push(
        &mut self,
        kind: &Arc<str>,
        category: Category,
        json: String,
        now: Instant,
    ) -> bool {
        let is_line = matches!(category, Category::Function | Category::Extension);
        let reserve = if is_line { 0 } else { PLATFORM_RESERVE_BYTES };
        if self.bytes + json.len() > self.max_bytes + reserve {
            self.dropped.records += 1;
            self.dropped.bytes += json.len();
            return false;
        }
        self.bytes += json.len();
        self.waiting.push_back(Item { kind: Arc::clone(kind), json, since: now });
        true
    }

    /// Keeps an event back until a time, or until `release`; `false` where it found no room.
    pub(super) fn hold(&mut self, kind: &Arc<str>, json: String, until: Option<Instant>) -> bool {
        if self.held.len() >= MAX_HELD {
            self.dropped.records += 1;
            self.dropped.bytes += json.len();
            return false;
        }
        self.held.push(Held { kind: Arc::clone(kind), json, until });
        true
    }

    /// Passes on what was held back without a time.
    pub(super) fn release(&mut self, now: Instant) {
        self.pass_on(now, |held| held.until.is_none());
    }

    fn pass_on(&mut self, now: Instant, due: impl Fn(&Held) -> bool) {
        let (due, held) = std::mem::take(&mut self.held).into_iter().partition(due);
        self.held = held;
        // They were taken already: what is held back counts as waiting, and is not refused later.
        for Held { kind, json, .. } in due {
            self.bytes += json.len();
            self.waiting.push_back(Item { kind, json, since: now });
        }
    }

    /// Decides whether a batch leaves now.
    pub(super) fn readiness(
        &mut self,
        buffering: &Buffering,
        flow: Flow,
        now: Instant,
    ) -> Readiness {
        self.pass_on(now, |held| held.until.is_some_and(|until| until <= now));
        let next_held = self.held.iter().filter_map(|held| held.until).min();
        let later = |at: Option<Instant>| at.map_or(Readiness::Never, Readiness::At);
        let since = match flow {
            Flow::Frozen => return Readiness::Never,
            Flow::Flushing => {
                return if self.waiting.is_empty() { later(next_held) } else { Readiness::Now };
            }
            Flow::Flowing { since } => since,
        };
        let Some(oldest) = self.waiting.front() else { return later(next_held) };
        let due = oldest.since.max(since) + buffering.timeout;
        let is_full =
            self.waiting.len() >= buffering.max_items || self.bytes >= buffering.max_bytes;
        if is_full || due <= now {
            Readiness::Now
        } else {
            later(Some(next_held.map_or(due, |held| held.min(due))))
        }
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

    /// Forgets the first events, which the subscriber has received. Gives once what did not fit meanwhile.
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
        let held = std::mem::take(&mut self.held).into_iter();
        waiting
            .map(|item| (item.kind, item.json))
            .chain(held.map(|held| (held.kind, held.json)))
            .collect()
    }
}

/// What a failed delivery waits before the next attempt: doubled each time.
pub(super) fn next_back_off(after: Duration) -> Duration {
    (after * 2).min(MAX_BACK_OFF)
}

pub(super) const MIN_BACK_OFF: Duration = Duration::from_millis(20);
const MAX_BACK_OFF: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFERING: Buffering =
        Buffering { max_items: 3, max_bytes: 10, timeout: Duration::from_millis(25) };

    fn queue(events: &[&str], at: Instant) -> Queue {
        let mut queue = Queue::new(100);
        for event in events {
            assert!(queue.push(&"k".into(), Category::Function, (*event).to_owned(), at));
        }
        queue
    }

    #[test]
    fn a_batch_leaves_when_it_is_full_or_old_enough_and_never_while_frozen() {
        #[track_caller]
        fn check(events: &[&str], start: Instant, flow: Flow, now: Instant, expected: &Readiness) {
            assert_eq!(queue(events, start).readiness(&BUFFERING, flow, now), *expected);
        }
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let flowing = |millis| Flow::Flowing { since: after(millis) };
        check(&[], start, flowing(0), after(100), &Readiness::Never);
        check(&["a"], start, flowing(0), after(24), &Readiness::At(after(25)));
        check(&["a"], start, flowing(0), after(25), &Readiness::Now);
        check(&["a", "b", "c"], start, flowing(0), start, &Readiness::Now);
        check(&["1234567890"], start, flowing(0), start, &Readiness::Now);
        check(&["a"], start, flowing(50), after(60), &Readiness::At(after(75)));
        check(&["a", "b", "c"], start, Flow::Frozen, after(100), &Readiness::Never);
        check(&["a"], start, Flow::Flushing, start, &Readiness::Now);
        check(&[], start, Flow::Flushing, start, &Readiness::Never);
    }

    #[test]
    fn a_batch_holds_what_fits_and_at_least_one() {
        let check = |events: &[&str], expected: &[&str]| {
            assert_eq!(queue(events, Instant::now()).batch(&BUFFERING).events, expected);
        };
        check(&["a", "b", "c", "d"], &["a", "b", "c"]);
        check(&["12345", "67890", "x"], &["12345", "67890"]);
        check(&["12345678901", "x"], &["12345678901"]);
        check(&[], &[]);
    }

    #[test]
    fn lines_beyond_the_bound_are_dropped_and_told_once_and_lambdas_own_events_are_not() {
        let now = Instant::now();
        let mut queue = queue(&["1234567890"; 10], now);
        assert!(!queue.push(&"function".into(), Category::Function, "line".to_owned(), now));
        assert!(!queue.push(&"function".into(), Category::Extension, "x".to_owned(), now));
        assert!(queue.push(
            &"platform.report".into(),
            Category::Platform,
            "report".to_owned(),
            now
        ));
        assert_eq!(queue.acknowledge(3), Some(Dropped { records: 2, bytes: 5 }));
        assert_eq!(queue.acknowledge(1), None);
        assert!(queue.push(&"function".into(), Category::Function, "line".to_owned(), now));
        assert_eq!(queue.take_all().len(), 8);
    }

    #[test]
    fn what_is_held_back_comes_when_it_is_due_or_released() {
        let now = Instant::now();
        let mut queue = queue(&["a"], now);
        let soon = now + Duration::from_millis(5);
        assert!(queue.hold(&"k".into(), "later".to_owned(), Some(soon)));
        assert!(queue.hold(&"k".into(), "held".to_owned(), None));
        let flow = Flow::Flowing { since: now };
        assert_eq!(queue.readiness(&BUFFERING, flow, now), Readiness::At(soon));
        assert_eq!((queue.batch(&BUFFERING).events.len(), queue.len()), (1, 3));
        queue.readiness(&BUFFERING, flow, soon);
        queue.release(soon);
        let mut wide = BUFFERING;
        wide.max_bytes = 100;
        assert_eq!(queue.batch(&wide).events, ["a", "later", "held"]);
    }
}
