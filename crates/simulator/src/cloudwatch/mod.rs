//! CloudWatch Logs: groups, streams and their events, and the subscription filters that pass them on.

mod filter_pattern;
mod stream;
mod subscription;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, RwLock};

pub use filter_pattern::{FilterPattern, InvalidPattern};
pub(crate) use stream::{LogWriter, MAX_EVENT_BYTES};
pub(crate) use subscription::{Batch, control_message, payloads};

use crate::clock::{self, Timestamp};
use crate::identifiers::EventIds;
use crate::lock::lock;
use subscription::Subscription;

/// The most subscription filters of one log group (CloudWatch Logs quotas).
const MAX_FILTERS_PER_GROUP: usize = 2;

/// How many events, and how many bytes of them, one log group keeps to be read.
const MAX_EVENTS_PER_GROUP: usize = 200_000;
const MAX_BYTES_PER_GROUP: usize = 256 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// 56 decimal digits, unique and rising.
    pub id: String,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// With the line feed at its end, where the line had one.
    pub message: String,
    pub log_group: Arc<str>,
    pub log_stream: Arc<str>,
    pub function: Arc<str>,
}

type Observer = Box<dyn Fn(&LogEvent) + Send + Sync>;

#[derive(Default)]
pub(crate) struct CloudWatch {
    groups: Mutex<Groups>,
    observers: RwLock<Vec<Observer>>,
}

#[derive(Debug)]
struct Groups {
    by_name: BTreeMap<Arc<str>, Group>,
    ids: EventIds,
}

impl Default for Groups {
    fn default() -> Self {
        Self { by_name: BTreeMap::new(), ids: EventIds::new(clock::now()) }
    }
}

#[derive(Debug, Default)]
struct Group {
    events: VecDeque<Arc<LogEvent>>,
    bytes: usize,
    subscriptions: Vec<Subscription>,
}

impl fmt::Debug for CloudWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudWatch").field("groups", &self.groups).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct StreamName {
    pub(crate) group: Arc<str>,
    pub(crate) stream: Arc<str>,
    pub(crate) function: Arc<str>,
    pub(crate) account_id: Arc<str>,
}

impl CloudWatch {
    pub(crate) fn create_group(&self, name: &str) {
        lock(&self.groups).by_name.entry(name.into()).or_default();
    }

    /// Writes one event and queues it for the subscriptions that it matches.
    pub(crate) fn append(&self, name: &StreamName, timestamp: Timestamp, message: String) {
        let event = {
            let mut groups = lock(&self.groups);
            let Groups { by_name, ids } = &mut *groups;
            let event = Arc::new(LogEvent {
                id: ids.next(),
                timestamp_ms: timestamp.millis(),
                message,
                log_group: Arc::clone(&name.group),
                log_stream: Arc::clone(&name.stream),
                function: Arc::clone(&name.function),
            });
            let group = by_name.entry(Arc::clone(&name.group)).or_default();
            for subscription in &mut group.subscriptions {
                subscription.offer(&event, &name.account_id);
            }
            group.keep(&event);
            event
        };
        let observers = self.observers.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        for observer in observers.iter() {
            observer(&event);
        }
    }

    pub(crate) fn observe(&self, observer: Observer) {
        self.observers.write().unwrap_or_else(std::sync::PoisonError::into_inner).push(observer);
    }

    /// The kept events of one group in the order in which they were written.
    pub(crate) fn events(&self, group: &str) -> Vec<LogEvent> {
        let groups = lock(&self.groups);
        groups
            .by_name
            .get(group)
            .map(|group| group.events.iter().map(|event| LogEvent::clone(event)).collect())
            .unwrap_or_default()
    }

    /// Adds a filter to a group and returns its name; `None` when the group already has as many as it may have.
    pub(crate) fn subscribe(
        &self,
        group: &str,
        destination: &str,
        pattern: FilterPattern,
    ) -> Option<String> {
        let mut groups = lock(&self.groups);
        let subscriptions = &mut groups.by_name.entry(group.into()).or_default().subscriptions;
        if subscriptions.len() >= MAX_FILTERS_PER_GROUP {
            return None;
        }
        let name = format!("{destination}-{}", subscriptions.len() + 1);
        subscriptions.push(Subscription::new(name.clone(), destination.to_owned(), pattern));
        Some(name)
    }

    /// Takes everything that waits for delivery, as one batch for each filter and stream.
    pub(crate) fn take_batches(&self) -> Vec<Batch> {
        let mut groups = lock(&self.groups);
        groups
            .by_name
            .values_mut()
            .flat_map(|group| &mut group.subscriptions)
            .flat_map(Subscription::take)
            .collect()
    }
}

impl Group {
    /// Keeps an event for readers, in place of the oldest if there is no room.
    fn keep(&mut self, event: &Arc<LogEvent>) {
        self.bytes += event.message.len();
        self.events.push_back(Arc::clone(event));
        while self.events.len() > MAX_EVENTS_PER_GROUP || self.bytes > MAX_BYTES_PER_GROUP {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.message.len();
        }
    }
}
