//! Reads a file of log lines as events of CloudWatch Logs.

use crate::lines::{TailedLine, tailed};
use crate::log_events::{GatheredEvents, delivery_event};
use anyhow::Context as _;
use console::time_arguments::TimeArgument;
use forwarder::Event;
use serde_json::Value;
use std::path::Path;
use subscriber::FilteredLogEvent;

/// The stream of lines that name none. Lambda's streams have this form.
const STREAM: &str = "2026/01/01/[$LATEST]00000000000000000000000000000000";

/// Returns `true` for log lines, and `false` for an event of Lambda or any other JSON of several lines.
pub(crate) fn has_log_lines(text: &str) -> bool {
    const KEYS_OF_EVENTS: [&str; 4] = ["awslogs", "Records", "records", "messageType"];
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(fields)) => {
            let is_event = KEYS_OF_EVENTS.iter().any(|key| fields.contains_key(*key));
            // A function may print one JSON line.
            let is_one_line = text.trim().lines().count() == 1;
            !is_event && is_one_line
        }
        Ok(_) => false,
        // A broken event is no log either.
        Err(_) => !text.trim_start().starts_with(r#"{"awslogs""#),
    }
}

/// Returns the name of a log group for a file: `/aws/lambda/shop` for `shop.log`.
pub(crate) fn log_group_of(path: &Path) -> String {
    let name = path.file_stem().and_then(|name| name.to_str());
    format!("/aws/lambda/{}", name.filter(|name| *name != "-").unwrap_or("stdin"))
}

/// Returns the events with these lines, one for each log stream. The lines of `aws logs tail` begin with their time and log stream,
/// and a message may have several. Other lines have the current time and one stream.
pub(crate) fn events(
    text: &str,
    log_group: &str,
    now_unix_nano: u64,
) -> anyhow::Result<Vec<Event>> {
    let now_ms = TimeArgument::NOW.millis(now_unix_nano);
    let mut gathered = GatheredEvents::default();
    let mut last: Option<FilteredLogEvent> = None;
    for (number, line) in text.lines().enumerate() {
        let first_line = match (tailed(line), &mut last) {
            (Some(tailed), _) => tailed,
            // The message of a tailed line goes on.
            (None, Some(event)) if event.log_stream != STREAM => {
                event.message.push('\n');
                event.message.push_str(line);
                continue;
            }
            (None, _) if line.trim().is_empty() => continue,
            (None, _) => TailedLine { timestamp_ms: now_ms, stream: STREAM, message: line },
        };
        let event = FilteredLogEvent {
            id: number.to_string(),
            log_stream: first_line.stream.to_owned(),
            timestamp_ms: first_line.timestamp_ms,
            message: first_line.message.to_owned(),
            ..FilteredLogEvent::default()
        };
        if let Some(complete) = last.replace(event) {
            gathered.add(complete);
        }
    }
    if let Some(complete) = last {
        gathered.add(complete);
    }
    let streams = gathered.take_before(i64::MAX);
    let events = streams.iter().map(|stream| delivery_event("", log_group, stream));
    events.collect::<Result<_, _>>().context("make an event of log lines")
}
