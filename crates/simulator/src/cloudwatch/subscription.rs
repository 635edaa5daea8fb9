//! Subscription filters: what waits for a destination, and the `awslogs` events in which it travels.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use super::{FilterPattern, LogEvent};

/// How many bytes of messages may wait in one filter.
const MAX_WAITING_BYTES: usize = 256 * 1024 * 1024;

/// The largest `data` of one event: what an asynchronous invocation may carry is 1 MB, envelope included.
const MAX_DATA_BYTES: usize = 1_000_000;

/// How many bytes of messages are tried as one event before it is known how well they compress.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// The most events of one batch (CloudWatch Logs: 10,000 a PutLogEvents call).
const MAX_EVENTS: usize = 10_000;

#[derive(Debug)]
pub(super) struct Subscription {
    name: String,
    destination: String,
    pattern: FilterPattern,
    waiting: BTreeMap<Arc<str>, Waiting>,
    waiting_bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    account_id: Arc<str>,
    events: Vec<Arc<LogEvent>>,
}

/// Events of one stream that passed one filter.
#[derive(Debug)]
pub(crate) struct Batch {
    filter: String,
    pub(crate) destination: String,
    account_id: Arc<str>,
    events: Vec<Arc<LogEvent>>,
}

impl Subscription {
    pub(super) fn new(name: String, destination: String, pattern: FilterPattern) -> Self {
        Self { name, destination, pattern, waiting: BTreeMap::new(), waiting_bytes: 0 }
    }

    /// Takes an event if it matches; gives 1 where it had to be refused because too much waits already.
    pub(super) fn offer(&mut self, event: &Arc<LogEvent>, account_id: &Arc<str>) -> u64 {
        if !self.pattern.matches(&event.message) {
            return 0;
        }
        if self.waiting_bytes + event.message.len() > MAX_WAITING_BYTES {
            return 1;
        }
        self.waiting_bytes += event.message.len();
        let waiting = self
            .waiting
            .entry(Arc::clone(&event.log_stream))
            .or_insert_with(|| Waiting { account_id: Arc::clone(account_id), events: Vec::new() });
        waiting.events.push(Arc::clone(event));
        0
    }

    pub(super) fn take(&mut self) -> Vec<Batch> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
            .into_values()
            .map(|Waiting { account_id, events }| Batch {
                filter: self.name.clone(),
                destination: self.destination.clone(),
                account_id,
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
        owner: &batch.account_id,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identifiers::hex_32;

    fn event(id: usize, message: String) -> Arc<LogEvent> {
        Arc::new(LogEvent {
            id: id.to_string(),
            timestamp_ms: 1,
            message,
            log_group: "g".into(),
            log_stream: "s".into(),
            function: "f".into(),
        })
    }

    fn subscription() -> Subscription {
        Subscription::new("filter".to_owned(), "f".to_owned(), FilterPattern::parse("").unwrap())
    }

    #[test]
    fn events_that_compress_badly_are_split_by_size_and_keep_their_order() {
        let mut subscription = subscription();
        for id in 0..24 {
            let message: String = (0..3_000).map(|_| hex_32()).collect();
            assert_eq!(subscription.offer(&event(id, message), &"1".into()), 0);
        }
        let batches = subscription.take();
        assert_eq!(batches.len(), 1);
        let payloads = payloads(&batches[0]);
        assert!(payloads.len() > 1);
        let mut ids = Vec::new();
        for payload in payloads {
            assert!(payload.len() <= MAX_DATA_BYTES + 64);
            let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            let data = payload["awslogs"]["data"].as_str().unwrap();
            let compressed = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
            let mut json = Vec::new();
            #[expect(clippy::disallowed_types, reason = "the test reads what was just written")]
            let mut inflating = flate2::write::GzDecoder::new(&mut json);
            inflating.write_all(&compressed).unwrap();
            inflating.finish().unwrap();
            let data: serde_json::Value = serde_json::from_slice(&json).unwrap();
            let events = data["logEvents"].as_array().unwrap();
            ids.extend(
                events.iter().map(|event| event["id"].as_str().unwrap().parse::<usize>().unwrap()),
            );
        }
        assert_eq!(ids, (0..24).collect::<Vec<_>>());
    }

    #[test]
    fn what_waits_is_bounded_and_the_rest_is_counted() {
        let mut subscription = subscription();
        let large = event(1, "x".repeat(MAX_WAITING_BYTES / 4));
        let refused: u64 = (0..6).map(|_| subscription.offer(&large, &"1".into())).sum();
        assert_eq!(refused, 2);
        assert_eq!(subscription.take().iter().map(|batch| batch.events.len()).sum::<usize>(), 4);
        assert_eq!(subscription.offer(&large, &"1".into()), 0, "a delivery makes room");
    }
}
