//! Turns CloudWatch log events into OTLP log records.
//!
//! Source: design §4 "To logs". The event's time is kept and its id is `log.record.uid`; level,
//! request id, trace and span id are read where the runtimes write them. What a line says never
//! changes where it is sent.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use crate::attributes::{attribute, boolean, double, string};
use crate::event::{EventKind, PlatformEvent};
use crate::invocations::Invocations;
use crate::json_line::JsonLine;
use crate::names::{self, lambda};
use crate::open_invocations::OpenInvocations;
use crate::prefix::prefix;
use crate::severity::Severity;

/// One log event of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEvent<'a> {
    /// CloudWatch's id of the event; empty if it has none.
    pub id: &'a str,
    /// Unix time in milliseconds.
    pub time_ms: i64,
    /// The line or lines, usually with the line end.
    pub message: &'a str,
}

impl LogEvent<'_> {
    /// Unix time in nanoseconds; times before 1970 and beyond 2554 are cut off.
    pub fn time_unix_nano(&self) -> u64 {
        u64::try_from(self.time_ms).unwrap_or(0).saturating_mul(1_000_000)
    }
}

/// Where a log stream stands when a chunk of it ends.
///
/// It says which invocation the stream is in: between `START` and `END`, lines without a request id of
/// their own belong to it. Best effort: a delivery may begin within an invocation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    request_id: Option<String>,
    /// What has been counted, so that lines of one invocation in two chunks count once.
    pub(crate) invocations: OpenInvocations,
    /// Invocations whose report is still to come, where spans are made.
    pub(crate) spans: Option<Box<Invocations>>,
}

impl Window {
    /// The invocation that is running, as far as is known.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Takes note of what Lambda says.
    pub fn observe(&mut self, event: &PlatformEvent) {
        match event.kind {
            EventKind::Start => self.request_id.clone_from(&event.request_id),
            EventKind::End | EventKind::Report => self.request_id = None,
            _ => {}
        }
    }
}

/// The log record of a function's line.
///
/// A line that is one JSON object gives its message as body and its keys as attributes; any other
/// line is the body as it stands, without its line end.
pub fn line_record(event: &LogEvent<'_>, window: &Window, observed_unix_nano: u64) -> LogRecord {
    match JsonLine::parse(event.message) {
        Some(json) => json_record(event, json, window, observed_unix_nano),
        None => text_record(event, window, observed_unix_nano),
    }
}

fn text_record(event: &LogEvent<'_>, window: &Window, observed_unix_nano: u64) -> LogRecord {
    let prefix = prefix(event.message);
    let request_id = prefix.request_id.map(str::to_ascii_lowercase);
    let mut record = record(
        event,
        prefix.severity.unwrap_or(Severity::UNSAID),
        without_line_end(event.message).to_owned(),
        observed_unix_nano,
    );
    push_request_id(&mut record, request_id.as_deref().or(window.request_id()));
    record
}

fn json_record(
    event: &LogEvent<'_>,
    json: JsonLine,
    window: &Window,
    observed_unix_nano: u64,
) -> LogRecord {
    let mut record = record(
        event,
        json.severity.unwrap_or(Severity::UNSAID),
        json.message.unwrap_or_else(|| without_line_end(event.message).to_owned()),
        observed_unix_nano,
    );
    push_request_id(&mut record, json.request_id.as_deref().or(window.request_id()));
    let xray = json.xray_trace_id.map(|root| string(names::AWS_XRAY_TRACE_ID, root));
    record.attributes.extend(xray);
    record.attributes.extend(json.attributes);
    record.trace_id = json.trace_id;
    record.span_id = json.span_id;
    record
}

/// The log record of one of Lambda's own events, with its figures in Lambda's units.
///
/// Failures are errors, whichever notation tells of them.
pub fn platform_record(
    event: &LogEvent<'_>,
    platform: &PlatformEvent,
    observed_unix_nano: u64,
) -> LogRecord {
    let said = || platform.level.as_deref().and_then(Severity::of_word);
    let severity = match platform.kind {
        _ if platform.is_failure() => Severity::ERROR,
        EventKind::LogsDropped => said().unwrap_or(Severity::WARN),
        _ => said().unwrap_or(Severity::UNSAID),
    };
    let body = event.message.trim_end().to_owned();
    let mut record = record(event, severity, body, observed_unix_nano);
    platform.kind.as_str().clone_into(&mut record.event_name);
    push_request_id(&mut record, platform.request_id.as_deref());
    record.attributes.extend(platform_attributes(platform));
    record
}

pub(crate) fn platform_attributes(platform: &PlatformEvent) -> Vec<KeyValue> {
    let mut attributes = vec![string(lambda::EVENT_TYPE, platform.kind.as_str())];
    if platform.kind == EventKind::Report {
        attributes.push(boolean(names::FAAS_COLDSTART, platform.is_cold_start()));
    }
    let words = [
        (lambda::STATUS, &platform.status),
        (names::ERROR_TYPE, &platform.error_type),
        (lambda::PHASE, &platform.phase),
        (lambda::INITIALIZATION_TYPE, &platform.initialization_type),
        (names::FAAS_VERSION, &platform.version),
        (lambda::RUNTIME_VERSION, &platform.runtime_version),
        (lambda::RUNTIME_VERSION_ARN, &platform.runtime_version_arn),
        (lambda::EXTENSION_NAME, &platform.name),
        (lambda::EXTENSION_STATE, &platform.state),
        (lambda::INSTANCE_ID, &platform.instance_id),
        (names::AWS_XRAY_TRACE_ID, &platform.tracing.trace_id),
        (lambda::XRAY_SEGMENT_ID, &platform.tracing.segment_id),
        (lambda::XRAY_SEGMENT_ID, &platform.tracing.span_id),
        (lambda::XRAY_PARENT_ID, &platform.tracing.parent_id),
    ];
    for (key, word) in words {
        attributes.extend(word.as_ref().map(|word| string(key, word)));
    }
    let figures = &platform.figures;
    let numbers = [
        (lambda::DURATION_MS, figures.duration_ms),
        (lambda::BILLED_DURATION_MS, figures.billed_duration_ms),
        (lambda::MEMORY_SIZE_MB, figures.memory_size_mb),
        (lambda::MAX_MEMORY_USED_MB, figures.max_memory_used_mb),
        (lambda::INIT_DURATION_MS, figures.init_duration_ms),
        (lambda::RESTORE_DURATION_MS, figures.restore_duration_ms),
        (lambda::BILLED_RESTORE_DURATION_MS, figures.billed_restore_duration_ms),
        (lambda::PRODUCED_BYTES, figures.produced_bytes),
        (lambda::RESPONSE_LATENCY_MS, platform.span_ms("responseLatency")),
        (lambda::RESPONSE_DURATION_MS, platform.span_ms("responseDuration")),
        (lambda::RUNTIME_OVERHEAD_MS, platform.span_ms("runtimeOverhead")),
        (lambda::EXTENSION_OVERHEAD_MS, platform.span_ms("extensionOverhead")),
        (lambda::DROPPED_RECORDS, figures.dropped_records),
        (lambda::DROPPED_BYTES, figures.dropped_bytes),
        (lambda::INSTANCE_MAX_MEMORY_MB, figures.instance_max_memory_mb),
        (lambda::TIMEOUT_MS, figures.timeout_ms),
    ];
    for (key, number) in numbers {
        attributes.extend(number.map(|number| double(key, number)));
    }
    let sampled = platform.tracing.sampled;
    attributes.extend(sampled.map(|sampled| boolean(lambda::XRAY_SAMPLED, sampled)));
    if !platform.other.is_empty() {
        let other: serde_json::Map<String, serde_json::Value> = platform
            .other
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().into()))
            .collect();
        attributes.push(string(lambda::OTHER, serde_json::Value::from(other).to_string()));
    }
    attributes
}

/// Why a line that claims to be OTLP was not decoded; never the line itself, which is the
/// function's data and lies in the dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecodable<'a> {
    /// The decoder's reason.
    pub reason: &'a str,
    /// Size of the line in bytes.
    pub size_bytes: usize,
    /// SHA-256 of the line in hex.
    pub sha256: &'a str,
}

/// The log record that reports an undecodable line; the event's message is not looked at.
pub fn undecodable_record(
    event: &LogEvent<'_>,
    undecodable: &Undecodable<'_>,
    window: &Window,
    observed_unix_nano: u64,
) -> LogRecord {
    let Undecodable { reason, size_bytes, sha256 } = *undecodable;
    let body = format!("OTLP line was not decoded: {reason}");
    let mut record = record(event, Severity::ERROR, body, observed_unix_nano);
    record.event_name = String::from("lambda_otlp.undecodable");
    push_request_id(&mut record, window.request_id());
    let size = i64::try_from(size_bytes).unwrap_or(i64::MAX);
    record.attributes.extend([
        string(names::UNDECODABLE_REASON, reason),
        attribute(names::UNDECODABLE_SIZE, Value::IntValue(size)),
        string(names::UNDECODABLE_SHA256, sha256),
    ]);
    record
}

fn record(
    event: &LogEvent<'_>,
    severity: Severity,
    body: String,
    observed_unix_nano: u64,
) -> LogRecord {
    let uid = (!event.id.is_empty()).then(|| string(names::LOG_RECORD_UID, event.id));
    LogRecord {
        time_unix_nano: event.time_unix_nano(),
        observed_time_unix_nano: observed_unix_nano,
        severity_number: severity.number as i32,
        severity_text: severity.text.into_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
        attributes: uid.into_iter().collect(),
        ..LogRecord::default()
    }
}

fn push_request_id(record: &mut LogRecord, request_id: Option<&str>) {
    record.attributes.extend(request_id.map(|id| string(names::FAAS_INVOCATION_ID, id)));
}

fn without_line_end(message: &str) -> &str {
    message.trim_end_matches(['\n', '\r'])
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
