//! Subscription filters: the events that wait for a destination, and the `awslogs` events that carry them.

use crate::function::ACCOUNT;
use crate::log_event::LogEvent;
use base64::Engine as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

/// The largest `data` of one event: an asynchronous invocation carries 1 MB, envelope included.
const MAX_DATA_BYTES: usize = 1_000_000;

/// How many bytes of messages are tried as one event before it is known how well they compress.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// The most events of one batch (CloudWatch Logs: 10,000 a PutLogEvents call).
const MAX_EVENTS: usize = 10_000;

#[derive(Debug)]
pub(crate) struct LogsSubscription {
    name: String,
    destination: String,
    waiting: BTreeMap<Arc<str>, Vec<Arc<LogEvent>>>,
}

#[derive(Debug)]
pub(crate) struct LogsBatch {
    filter: String,
    pub(crate) destination: String,
    events: Vec<Arc<LogEvent>>,
}

impl LogsBatch {
    pub(crate) fn new(destination: String, events: &[LogEvent]) -> Self {
        let events = events.iter().cloned().map(Arc::new).collect();
        Self { filter: destination.clone(), destination, events }
    }
}

impl LogsSubscription {
    pub(crate) fn new(name: String, destination: &str) -> Self {
        Self { name, destination: destination.to_owned(), waiting: BTreeMap::new() }
    }

    pub(crate) fn offer(&mut self, event: &Arc<LogEvent>) {
        self.waiting.entry(Arc::clone(&event.log_stream)).or_default().push(Arc::clone(event));
    }

    pub(crate) fn take(&mut self) -> Vec<LogsBatch> {
        std::mem::take(&mut self.waiting)
            .into_values()
            .map(|events| LogsBatch {
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
struct AwslogsData<'a> {
    message_type: &'a str,
    owner: &'a str,
    log_group: &'a str,
    log_stream: &'a str,
    subscription_filters: &'a [&'a str],
    log_events: Vec<AwslogsEvent<'a>>,
}

#[derive(Debug, Serialize)]
struct AwslogsEvent<'a> {
    id: &'a str,
    timestamp: u64,
    message: &'a str,
}

/// The payloads that bring a batch to its destination, each small enough for an asynchronous invocation.
pub(crate) fn payloads(batch: &LogsBatch) -> Vec<Vec<u8>> {
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

fn split_until_it_fits(batch: &LogsBatch, events: &[Arc<LogEvent>], payloads: &mut Vec<Vec<u8>>) {
    let Some(first) = events.first() else { return };
    let data = compressed(&AwslogsData {
        message_type: "DATA_MESSAGE",
        owner: ACCOUNT,
        log_group: &first.log_group,
        log_stream: &first.log_stream,
        subscription_filters: &[&batch.filter],
        log_events: events
            .iter()
            .map(|event| AwslogsEvent {
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
    payload(&compressed(&AwslogsData {
        message_type: "CONTROL_MESSAGE",
        owner: "CloudwatchLogs",
        log_group: "",
        log_stream: "",
        subscription_filters: &[],
        log_events: vec![AwslogsEvent {
            id: "",
            timestamp: timestamp_ms,
            message: "CWL CONTROL MESSAGE: Checking health of destination Lambda.",
        }],
    }))
}

fn compressed(data: &AwslogsData<'_>) -> String {
    let json = serde_json::to_vec(data).unwrap_or_default();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to a vector cannot fail.
    let compressed = encoder.write_all(&json).and_then(|()| encoder.finish()).unwrap_or_default();
    base64::engine::general_purpose::STANDARD.encode(compressed)
}

fn payload(data: &str) -> Vec<u8> {
    format!(r#"{{"awslogs":{{"data":"{data}"}}}}"#).into_bytes()
}
