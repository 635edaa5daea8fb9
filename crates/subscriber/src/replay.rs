//! Sends lines from before the subscription of a new log group to the forwarder's retry queue, whose redrive function delivers
//! them like a failed event.

use aws::{CloudWatchLogs, FilteredLogEvent, LogGroup, SqsQueue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep_until};

/// Maximum age of a new log group: backends accept its lines. An older one was subscribed late on purpose, and `lambda-otlp
/// replay` handles its history.
const NEW: Duration = Duration::from_hours(3);
/// Lines become readable some seconds after they are received.
const READABLE_AFTER: Duration = Duration::from_secs(10);
/// Maximum number of bytes of lines of one log group.
const MAX_BYTES: usize = 16 << 20;
/// Maximum number of bytes of lines in one message: gzip and base64 of noise are a third larger, and a message has at most 1 MiB.
const MESSAGE_BYTES: usize = 512 << 10;
/// Size of a line in the event without its text.
const LINE_OVERHEAD: usize = 120;

/// Returns `true` if lines of this log group are replayed.
pub(crate) fn is_new(group: &LogGroup, now: SystemTime) -> bool {
    let created = UNIX_EPOCH + Duration::from_millis(u64::try_from(group.created_ms).unwrap_or(0));
    now.duration_since(created).is_ok_and(|age| age < NEW)
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    pub(crate) lines: usize,
    /// The reason why lines are missing, and the remedy.
    pub(crate) problem: Option<String>,
}

/// Reads the lines received until `subscribed`, and sends them to the queue. At the boundary the filter may send a line again:
/// AWS does not state when a filter begins.
pub(crate) async fn replay(
    logs: &CloudWatchLogs,
    queue: &SqsQueue,
    group: &LogGroup,
    filter: &str,
    subscribed: SystemTime,
    deadline: Instant,
) -> Replayed {
    let mut replayed = Replayed::default();
    let age = logs.wall_clock().duration_since(subscribed).unwrap_or_default();
    sleep_until(deadline.min(Instant::now() + READABLE_AFTER.saturating_sub(age))).await;
    let since_epoch = subscribed.duration_since(UNIX_EPOCH).unwrap_or_default();
    let until_ms = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
    let FirstLines { streams, mut problem } = read(logs, group, until_ms, deadline).await;
    let mut messages: Vec<ReplayMessage> = Vec::new();
    for (stream, events) in &streams {
        for part in parts(events) {
            let event = delivery(group.account(), &group.name, stream, filter, part);
            messages.push(ReplayMessage { body: event.to_string(), lines: part.len() });
        }
    }
    let bodies: Vec<&str> = messages.iter().map(|message| message.body.as_str()).collect();
    let results = queue.send_messages(&bodies, Duration::ZERO, deadline).await;
    for (result, message) in results.into_iter().zip(&messages) {
        match result {
            Ok(()) => replayed.lines += message.lines,
            Err(error) => problem = problem.or(Some(error.to_string())),
        }
    }
    replayed.problem = problem.map(|problem| {
        let name = &group.name;
        format!("{name}: {problem}: its first lines are not all forwarded; `lambda-otlp replay {name}` sends them")
    });
    replayed
}

/// A message of the retry queue with lines of one stream.
struct ReplayMessage {
    body: String,
    lines: usize,
}

/// The lines of a log group from before its subscription.
#[derive(Default)]
struct FirstLines {
    streams: BTreeMap<String, Vec<FilteredLogEvent>>,
    /// The reason why some are missing.
    problem: Option<String>,
}

async fn read(
    logs: &CloudWatchLogs,
    group: &LogGroup,
    until_ms: i64,
    deadline: Instant,
) -> FirstLines {
    let mut lines = FirstLines::default();
    let mut bytes = 0;
    let mut next = None;
    loop {
        // The function sets a line's time, which may precede the log group's creation.
        let page = match logs.log_events(&group.name, (0..).into(), next, deadline).await {
            Ok(page) => page,
            Err(error) => {
                lines.problem = Some(error.to_string());
                return lines;
            }
        };
        for event in page.items.into_iter().filter(|event| event.ingested_ms <= until_ms) {
            bytes += event.message.len() + LINE_OVERHEAD;
            if bytes > MAX_BYTES {
                lines.problem = Some(format!("there are more than {MAX_BYTES} bytes of lines"));
                return lines;
            }
            lines.streams.entry(event.log_stream.clone()).or_default().push(event);
        }
        next = page.next;
        if next.is_none() {
            return lines;
        }
    }
}

/// Divides the lines of a stream into parts that each fit into one message.
fn parts(events: &[FilteredLogEvent]) -> Vec<&[FilteredLogEvent]> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (position, event) in events.iter().enumerate() {
        let size = event.message.len() + LINE_OVERHEAD;
        if bytes + size > MESSAGE_BYTES && position > start {
            parts.extend(events.get(start..position));
            start = position;
            bytes = 0;
        }
        bytes += size;
    }
    parts.extend(events.get(start..).filter(|rest| !rest.is_empty()));
    parts
}

// The event with which CloudWatch Logs delivers lines to a function.
//
// Source: CloudWatch Logs User Guide, "Subscription filters with AWS Lambda".

/// A fast level, because the text only goes to the forwarder.
const GZIP_LEVEL: u32 = 1;

/// Creates the event with lines of one stream, in order; `filter` is named as the sender.
pub fn delivery(
    account: &str,
    log_group: &str,
    stream: &str,
    filter: &str,
    events: &[FilteredLogEvent],
) -> Value {
    let log_event = |event: &FilteredLogEvent| json!({ "id": event.id, "timestamp": event.timestamp_ms, "message": event.message });
    let log_events: Vec<Value> = events.iter().map(log_event).collect();
    let payload = json!({
        "messageType": "DATA_MESSAGE", "owner": account, "logGroup": log_group,
        "logStream": stream, "subscriptionFilters": [filter], "logEvents": log_events,
    });
    let gzip = wire::gzip::compress(GZIP_LEVEL, payload.to_string().as_bytes());
    json!({ "awslogs": { "data": STANDARD.encode(gzip) } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_recently_created_log_groups_are_replayed() {
        let noon = UNIX_EPOCH + Duration::from_hours(12);
        let created =
            |hours: i64| LogGroup { created_ms: hours * 3_600_000, ..LogGroup::default() };
        assert!(is_new(&created(10), noon));
        assert!(!is_new(&created(9), noon));
        assert!(!is_new(&created(13), noon), "a clock that is behind");
        assert!(!is_new(&created(0), noon));
    }

    #[test]
    fn replayed_log_events_are_split_into_fitting_parts() {
        let check = |sizes: &[usize], expected: &[usize]| {
            let event = |size: &usize| FilteredLogEvent {
                message: "x".repeat(*size),
                ..FilteredLogEvent::default()
            };
            let events: Vec<FilteredLogEvent> = sizes.iter().map(event).collect();
            let parts = parts(&events);
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), expected);
            assert_eq!(parts.concat(), events);
        };
        check(&[], &[]);
        check(&[1, 1], &[2]);
        check(&[MESSAGE_BYTES / 2; 3], &[1, 1, 1]);
        check(&[1, MESSAGE_BYTES, 1], &[1, 1, 1]);
        check(&[MESSAGE_BYTES / 3; 4], &[2, 2]);
    }
}
