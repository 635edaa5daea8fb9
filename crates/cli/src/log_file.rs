//! Reads a file of log lines as events of CloudWatch Logs.

use crate::lines::{TailedLine, tailed};
use crate::log_events::{Gathered, delivered};
use anyhow::Context as _;
use console::time_arguments::TimeArgument;
use forwarder::Event;
use serde_json::Value;
use std::path::Path;
use subscriber::FilteredLogEvent;

/// The stream of lines that name none. Lambda's streams have this form.
const STREAM: &str = "2026/01/01/[$LATEST]00000000000000000000000000000000";

/// Returns `true` if this is neither an event of Lambda nor anything else that is one JSON text of several lines.
pub(crate) fn is_log(text: &str) -> bool {
    match serde_json::from_str::<Value>(text) {
        // A function may print one JSON line.
        Ok(Value::Object(fields)) => {
            let is_event = ["awslogs", "Records", "records", "messageType"]
                .iter()
                .any(|key| fields.contains_key(*key));
            !is_event && text.trim().lines().count() == 1
        }
        Ok(_) => false,
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
    let mut gathered = Gathered::default();
    let mut last: Option<FilteredLogEvent> = None;
    for (number, line) in text.lines().enumerate() {
        let line = match (tailed(line), &mut last) {
            (Some(tailed), _) => tailed,
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
            log_stream: line.stream.to_owned(),
            timestamp_ms: line.timestamp_ms,
            message: line.message.to_owned(),
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
    let events = streams.iter().map(|events| delivered("", log_group, events));
    events.collect::<Result<_, _>>().context("make an event of log lines")
}
