//! Converts CloudWatch log events to OTLP log records.
//!
//! A record has the time of its log event, or the time stated in a JSON line if both are within one minute. The event's id
//! becomes `log.record.uid`. Level, request id, trace id and span id are read where the runtimes' loggers write them. A line's
//! content never changes its destination.
//!
//! Source: OpenTelemetry, logs data model, and semantic conventions, general/logs (`log.record.uid`).

pub(crate) mod records;
pub(crate) mod request_window;
pub(crate) mod seen_spans;
pub(crate) mod told;

use crate::attributes::PlainValue;
use crate::event::attributes::platform_attributes;
use crate::event::{EventKind, PlatformEvent};
use crate::logs::records::RecordWriter;
use crate::logs::request_window::RequestWindow;
use crate::logs::told::Facts;
use crate::metrics::emf;
use crate::metrics::emf::line::EmfLine;
use crate::names;
use crate::read::ids::lower_case;
use crate::read::json_line::{JsonLine, JsonValue};
use crate::read::out_of_memory::is_out_of_memory;
use crate::read::prefix::prefix;
use crate::read::runtime_text::is_rust_panic;
use crate::read::severity::Severity;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEventRef<'a> {
    /// CloudWatch's id of the event; empty if it has none.
    pub id: &'a str,
    /// Unix time in milliseconds.
    pub time_ms: i64,
    /// The line or lines, usually with the line end.
    pub message: &'a str,
}

impl LogEventRef<'_> {
    /// Unix time in nanoseconds, clamped to 1970 through 2554.
    pub fn time_unix_nano(&self) -> u64 {
        u64::try_from(self.time_ms).unwrap_or(0).saturating_mul(1_000_000)
    }
}

/// Writes the log record of a function's line.
///
/// The message of a JSON object becomes the body, and its keys become attributes, except keys that also became `metrics`. Any
/// other line becomes the body as written, without its line end.
pub(crate) fn line_record(
    event: &LogEventRef<'_>,
    window: &mut RequestWindow,
    observed_unix_nano: u64,
    metrics: Option<&EmfLine<'_>>,
    record: &mut RecordWriter<'_, '_>,
) {
    match JsonLine::parse(metrics.map_or(event.message, |line| line.json)) {
        Some(json) => json_record(event, &json, window, observed_unix_nano, metrics, record),
        None => text_record(event, window, observed_unix_nano, record),
    }
}

/// The maximum difference between the time in a line and the time of its log event, in nanoseconds: one minute. A time further
/// away belongs to something else, such as an order, or comes from a wrong clock.
const MOST_TIME_APART: u64 = 60 * SECOND;
const SECOND: u64 = 1_000_000_000;

fn text_record(
    event: &LogEventRef<'_>,
    window: &RequestWindow,
    observed_unix_nano: u64,
    record: &mut RecordWriter<'_, '_>,
) {
    let prefix = prefix(event.message);
    let severity = match prefix.severity {
        Some(severity) => severity,
        None if is_rust_panic(event.message) || is_out_of_memory(event.message) => Severity::ERROR,
        None => Severity::UNSAID,
    };
    begin(event, &severity, without_line_end(event.message), observed_unix_nano, record);
    let own = prefix.request_id.map(lower_case);
    request_id(record, own.as_deref().or(window.request_id()), window);
}

fn json_record(
    event: &LogEventRef<'_>,
    json: &JsonLine<'_>,
    window: &mut RequestWindow,
    observed_unix_nano: u64,
    metrics: Option<&EmfLine<'_>>,
    record: &mut RecordWriter<'_, '_>,
) {
    let prefix = metrics.map(|line| &line.prefix);
    let unsaid = Severity::UNSAID;
    let severity = json.severity.as_ref().or(prefix.and_then(|prefix| prefix.severity.as_ref()));
    let severity = severity.unwrap_or(&unsaid);
    let body = json.message.as_deref().unwrap_or_else(|| without_line_end(event.message));
    let logged = event.time_unix_nano();
    let stated = json.time_unix_nano.filter(|time| time.abs_diff(logged) <= MOST_TIME_APART);
    // Loggers that write whole seconds, such as Python's in Lambda, would move records before their invocation. CloudWatch's time
    // is more precise within the second.
    let stated = stated.map(|time| match time % SECOND {
        0 => logged.clamp(time, time.saturating_add(SECOND - 1)),
        _ => time,
    });
    begin_at(stated.unwrap_or(logged), event, severity, body, observed_unix_nano, record);
    let said = prefix.and_then(|prefix| prefix.request_id).map(str::to_ascii_lowercase);
    let own = json.request_id.as_deref().or(said.as_deref());
    let id = own.or(window.request_id());
    if let Some(id) = id {
        record.invocation(id);
    }
    // The line's own fields override facts from other lines.
    let facts = Facts {
        tenant_id: json.tenant_id.as_deref(),
        durable_execution_arn: json.durable_execution_arn.as_deref(),
    };
    facts.write(record);
    facts.beside(window.told(id)).repeat(record);
    let facts = window.believed(facts);
    if facts != Facts::default()
        && let Some(id) = id.map(str::to_owned)
    {
        window.tell(&id, facts);
    }
    if let Some(root) = &json.xray_trace_id {
        record.attribute(names::AWS_XRAY_TRACE_ID, PlainValue::Text(root));
    }
    for (key, value) in &json.attributes {
        match value {
            _ if metrics.is_some() && key == emf::line::KEY => {}
            JsonValue::Text(text) => record.attribute(key, PlainValue::Text(text)),
            JsonValue::Other(value) => record.any_attribute(key, value),
        }
    }
    record.trace_id(&json.trace_id);
    record.span_id(&json.span_id);
}

/// Writes the log record of one of Lambda's own events, with its figures in Lambda's units.
///
/// A failure has severity ERROR in every notation.
pub(crate) fn platform_record(
    event: &LogEventRef<'_>,
    platform: &PlatformEvent,
    window: &RequestWindow,
    observed_unix_nano: u64,
    record: &mut RecordWriter<'_, '_>,
) {
    let said = || platform.level.as_deref().and_then(Severity::of_word);
    let severity = match platform.kind {
        _ if platform.is_failure() => Severity::ERROR,
        EventKind::LogsDropped => said().unwrap_or(Severity::WARN),
        _ => said().unwrap_or(Severity::UNSAID),
    };
    begin(event, &severity, event.message.trim_end(), observed_unix_nano, record);
    record.event_name(platform.kind.as_str());
    request_id(record, platform.request_id.as_deref(), window);
    platform_attributes(platform, &mut |key, value| record.attribute(key, value));
}

/// The reason why a claimed OTLP line was not decoded. The line itself, the function's data, is in the dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecodable<'a> {
    pub reason: &'a str,
    pub size_bytes: usize,
    /// SHA-256 of the line in hex.
    pub sha256: &'a str,
}

/// Writes the log record about an undecodable line, without any part of the line.
pub(crate) fn undecodable_record(
    event: &LogEventRef<'_>,
    undecodable: &Undecodable<'_>,
    window: &RequestWindow,
    observed_unix_nano: u64,
    record: &mut RecordWriter<'_, '_>,
) {
    let Undecodable { reason, size_bytes, sha256 } = *undecodable;
    let body = format!("OTLP line was not decoded: {reason}");
    begin(event, &Severity::ERROR, &body, observed_unix_nano, record);
    record.event_name("lambda_otlp.undecodable");
    request_id(record, window.request_id(), window);
    let size = i64::try_from(size_bytes).unwrap_or(i64::MAX);
    record.attribute(names::UNDECODABLE_REASON, PlainValue::Text(reason));
    record.attribute(names::UNDECODABLE_SIZE, PlainValue::Int(size));
    record.attribute(names::UNDECODABLE_SHA256, PlainValue::Text(sha256));
}

/// Writes the common fields of a record: times, severity, body and the log event's id.
fn begin(
    event: &LogEventRef<'_>,
    severity: &Severity,
    body: &str,
    observed_unix_nano: u64,
    record: &mut RecordWriter<'_, '_>,
) {
    begin_at(event.time_unix_nano(), event, severity, body, observed_unix_nano, record);
}

/// Like [`begin`], with another time than the log event's.
fn begin_at(
    time_unix_nano: u64,
    event: &LogEventRef<'_>,
    severity: &Severity,
    body: &str,
    observed_unix_nano: u64,
    record: &mut RecordWriter<'_, '_>,
) {
    record.times(time_unix_nano, observed_unix_nano);
    record.severity(severity);
    record.body(body);
    if !event.id.is_empty() {
        record.attribute(names::LOG_RECORD_UID, PlainValue::Text(event.id));
    }
}

fn request_id(record: &mut RecordWriter<'_, '_>, request_id: Option<&str>, window: &RequestWindow) {
    if let Some(id) = request_id {
        record.invocation(id);
    }
    if window.has_told() {
        window.told(request_id).repeat(record);
    }
}

fn without_line_end(message: &str) -> &str {
    message.trim_end_matches(['\n', '\r'])
}

#[cfg(test)]
mod tests;
