//! CloudWatch Logs: groups, streams and their events.

use crate::bounded_history::BoundedHistory;
use crate::clock;
use crate::function::FunctionSpec;
use crate::identifiers::{self, EventIds};
use crate::lock;
use crate::log_event::LogEvent;
use crate::subscription_filter::{LogsBatch, LogsSubscription};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, RwLock};

/// How many events, and how many bytes of them, one log group keeps to be read.
const MAX_EVENTS_PER_GROUP: usize = 200_000;
const MAX_BYTES_PER_GROUP: usize = 256 * 1024 * 1024;

/// The most bytes Lambda puts into one event: 2^18 less the 26 that CloudWatch adds for each event.
pub(crate) const MAX_EVENT_BYTES: usize = 262_118;

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

#[derive(Debug)]
struct Group {
    events: BoundedHistory<Arc<LogEvent>>,
    subscriptions: Vec<LogsSubscription>,
}

impl Default for Group {
    fn default() -> Self {
        let events = BoundedHistory::new(MAX_EVENTS_PER_GROUP, MAX_BYTES_PER_GROUP);
        Self { events, subscriptions: Vec::new() }
    }
}

impl fmt::Debug for CloudWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudWatch").field("groups", &self.groups).finish_non_exhaustive()
    }
}

impl CloudWatch {
    /// Writes one event and queues it for the subscriptions.
    fn append(&self, log_group: &Arc<str>, log_stream: &Arc<str>, message: String) {
        let event = {
            let mut groups = lock(&self.groups);
            let Groups { by_name, ids } = &mut *groups;
            let event = Arc::new(LogEvent {
                id: ids.next(),
                timestamp_ms: clock::now().millis(),
                message,
                log_group: Arc::clone(log_group),
                log_stream: Arc::clone(log_stream),
            });
            let group = by_name.entry(Arc::clone(log_group)).or_default();
            for subscription in &mut group.subscriptions {
                subscription.offer(&event);
            }
            group.events.push(Arc::clone(&event), event.message.len());
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
        let kept = lock(&self.groups).by_name.get(group).map(|group| group.events.to_vec());
        kept.unwrap_or_default().into_iter().map(Arc::unwrap_or_clone).collect()
    }

    /// Adds a filter for all events to a group.
    pub(crate) fn subscribe(&self, group: &str, destination: &str) {
        let mut groups = lock(&self.groups);
        let subscriptions = &mut groups.by_name.entry(group.into()).or_default().subscriptions;
        let name = format!("{destination}-{}", subscriptions.len() + 1);
        subscriptions.push(LogsSubscription::new(name, destination));
    }

    /// Takes everything that waits for delivery, as one batch for each filter and stream.
    pub(crate) fn take_batches(&self) -> Vec<LogsBatch> {
        let mut groups = lock(&self.groups);
        groups
            .by_name
            .values_mut()
            .flat_map(|group| &mut group.subscriptions)
            .flat_map(LogsSubscription::take)
            .collect()
    }
}

/// Writes the log stream of one execution environment: the function's own lines and Lambda's.
#[derive(Debug)]
pub(crate) struct LogWriter {
    cloudwatch: Arc<CloudWatch>,
    group: Arc<str>,
    stream: Arc<str>,
}

impl LogWriter {
    pub(crate) fn new(
        cloudwatch: &Arc<CloudWatch>,
        spec: &FunctionSpec,
        environment: &str,
    ) -> Self {
        let stream = identifiers::log_stream(environment, clock::now());
        Self {
            cloudwatch: Arc::clone(cloudwatch),
            group: spec.log_group_name().into(),
            stream: stream.into(),
        }
    }

    pub(crate) fn stream(&self) -> &str {
        &self.stream
    }

    pub(crate) fn line(&self, line: String) {
        self.cloudwatch.append(&self.group, &self.stream, line);
    }
}
