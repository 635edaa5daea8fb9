//! CloudWatch Logs: groups, streams and their events, and the subscription filters that pass them on.

use crate::clock;
use crate::function::{ACCOUNT, FunctionSpec, LOG_GROUPS};
use crate::identifiers::{self, EventIds};
use crate::lock;
use crate::recent::Recent;
use base64::Engine as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex, RwLock};

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
}

impl LogEvent {
    /// The name of the function that wrote it.
    pub fn function(&self) -> &str {
        self.log_group.strip_prefix(LOG_GROUPS).unwrap_or_default()
    }
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

#[derive(Debug)]
struct Group {
    events: Recent<Arc<LogEvent>>,
    subscriptions: Vec<Subscription>,
}

impl Default for Group {
    fn default() -> Self {
        let events = Recent::of(MAX_EVENTS_PER_GROUP, MAX_BYTES_PER_GROUP);
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
        let destination = destination.to_owned();
        subscriptions.push(Subscription { name, destination, waiting: BTreeMap::new() });
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

// Writes the log stream of one execution environment: the function's own lines and Lambda's.

/// The most bytes Lambda puts into one event: 2^18 less the 26 that CloudWatch adds for each event.
pub(crate) const MAX_EVENT_BYTES: usize = 262_118;

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

// Subscription filters: the events that wait for a destination, and the `awslogs` events that carry them.

/// The largest `data` of one event: an asynchronous invocation carries 1 MB, envelope included.
const MAX_DATA_BYTES: usize = 1_000_000;

/// How many bytes of messages are tried as one event before it is known how well they compress.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// The most events of one batch (CloudWatch Logs: 10,000 a PutLogEvents call).
const MAX_EVENTS: usize = 10_000;

#[derive(Debug)]
struct Subscription {
    name: String,
    destination: String,
    waiting: BTreeMap<Arc<str>, Vec<Arc<LogEvent>>>,
}

#[derive(Debug)]
pub(crate) struct Batch {
    filter: String,
    pub(crate) destination: String,
    events: Vec<Arc<LogEvent>>,
}

impl Batch {
    pub(crate) fn new(destination: String, events: &[LogEvent]) -> Self {
        let events = events.iter().cloned().map(Arc::new).collect();
        Self { filter: destination.clone(), destination, events }
    }
}

impl Subscription {
    fn offer(&mut self, event: &Arc<LogEvent>) {
        self.waiting.entry(Arc::clone(&event.log_stream)).or_default().push(Arc::clone(event));
    }

    fn take(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.waiting)
            .into_values()
            .map(|events| Batch {
                filter: self.name.clone(),
                destination: self.destination.clone(),
                events,
            })
            .collect()
    }
}

/// The content of `awslogs.data` (AWS: CloudWatch Logs "Subscription filters with Lambda").
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    message_type: &'a str,
    owner: &'a str,
    log_group: &'a str,
    log_stream: &'a str,
    subscription_filters: &'a [&'a str],
    log_events: Vec<DataEvent<'a>>,
}

#[derive(Debug, Serialize)]
struct DataEvent<'a> {
    id: &'a str,
    timestamp: u64,
    message: &'a str,
}

/// The payloads that bring a batch to its destination, each small enough for an asynchronous invocation.
pub(crate) fn payloads(batch: &Batch) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    let mut events = batch.events.as_slice();
    while !events.is_empty() {
        let mut bytes = 0;
        let fitting = events.iter().take(MAX_EVENTS).take_while(|event| {
            bytes += event.message.len();
            bytes <= MAX_MESSAGE_BYTES
        });
        let (part, rest) = events.split_at(fitting.count().max(1));
        split_until_it_fits(batch, part, &mut payloads);
        events = rest;
    }
    payloads
}

fn split_until_it_fits(batch: &Batch, events: &[Arc<LogEvent>], payloads: &mut Vec<Vec<u8>>) {
    let Some(first) = events.first() else { return };
    let data = data(&Data {
        message_type: "DATA_MESSAGE",
        owner: ACCOUNT,
        log_group: &first.log_group,
        log_stream: &first.log_stream,
        subscription_filters: &[&batch.filter],
        log_events: events
            .iter()
            .map(|event| DataEvent {
                id: &event.id,
                timestamp: event.timestamp_ms,
                message: &event.message,
            })
            .collect(),
    });
    // A single event is at most 256 KB and always fits.
    if data.len() <= MAX_DATA_BYTES || events.len() == 1 {
        payloads.push(payload(&data));
    } else {
        let (left, right) = events.split_at(events.len() / 2);
        split_until_it_fits(batch, left, payloads);
        split_until_it_fits(batch, right, payloads);
    }
}

/// The probe that CloudWatch Logs sends when a filter is created; its event has an empty id.
pub(crate) fn control_message(timestamp_ms: u64) -> Vec<u8> {
    payload(&data(&Data {
        message_type: "CONTROL_MESSAGE",
        owner: "CloudwatchLogs",
        log_group: "",
        log_stream: "",
        subscription_filters: &[],
        log_events: vec![DataEvent {
            id: "",
            timestamp: timestamp_ms,
            message: "CWL CONTROL MESSAGE: Checking health of destination Lambda.",
        }],
    }))
}

fn data(data: &Data<'_>) -> String {
    let json = serde_json::to_vec(data).unwrap_or_default();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to a vector cannot fail.
    let compressed = encoder.write_all(&json).and_then(|()| encoder.finish()).unwrap_or_default();
    base64::engine::general_purpose::STANDARD.encode(compressed)
}

fn payload(data: &str) -> Vec<u8> {
    format!(r#"{{"awslogs":{{"data":"{data}"}}}}"#).into_bytes()
}
