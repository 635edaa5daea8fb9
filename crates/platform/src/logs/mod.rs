//! Converts CloudWatch log events to OTLP log records.
//!
//! A record has the time of its log event, or the time stated in the line if both are within one minute. The event's id
//! becomes `log.record.uid`. Level, request id, trace id and span id are read where the runtimes' loggers write them. A line's
//! content never changes its destination.
//!
//! Source: OpenTelemetry, logs data model, and semantic conventions, general/logs (`log.record.uid`).

pub(crate) mod records;

use crate::attributes::PlainValue;
use crate::event::{EventKind, PlatformEvent, platform_attributes};
use crate::identity::Identity;
use crate::invocations::{Facts, Invocations, is_execution_of};
use crate::logs::records::RecordWriter;
use crate::metrics::emf;
use crate::names;
use crate::read::fingerprint::fingerprint;
use crate::read::ids::TraceIds;
use crate::read::line::{FunctionLine, MAX_VALUE_BYTES, Value, typed};
use crate::read::runtime_text::is_out_of_memory;
use crate::read::severity::Severity;
use crate::read::time::LineTime;
use opentelemetry_proto::tonic::common::v1::AnyValue;

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

/// The log record of a function's line.
///
/// The message of a structured line becomes the body, and its keys become attributes, except the definition of its metrics. Any
/// other line becomes the body as written, without its line end.
pub(crate) struct LineRecord<'r> {
    pub(crate) event: &'r LogEventRef<'r>,
    pub(crate) line: &'r FunctionLine<'r>,
    pub(crate) identity: &'r Identity,
    /// `true` if the line's metrics were read.
    pub(crate) has_metrics: bool,
    pub(crate) observed_unix_nano: u64,
}

impl LineRecord<'_> {
    /// Writes the record. The table provides the line's invocation, and learns facts about it.
    pub(crate) fn write(&self, invocations: &mut Invocations, record: &mut RecordWriter<'_, '_>) {
        let Self { event, line, .. } = self;
        let severity = match line.severity {
            Some(severity) => severity,
            None if is_out_of_memory(event.message) => Severity::ERROR,
            None => Severity::INFO,
        };
        let body =
            line.message.as_deref().unwrap_or_else(|| event.message.trim_end_matches(['\n', '\r']));
        record.times(record_time(event, line.time), self.observed_unix_nano);
        write_common(event, severity, body, record);
        self.write_invocation(invocations, record);
        if let Some(trace_id) = &line.xray_trace_id {
            record.attribute(names::AWS_XRAY_TRACE_ID, PlainValue::Text(trace_id));
            record.note_xray_trace(trace_id);
        }
        self.write_attributes(record);
        self.write_exception(record);
        if let Some(TraceIds { trace_id, span_id }) = &line.trace {
            record.trace_id(trace_id);
            record.span_id(span_id.as_ref().map_or(&[], |id| id));
        }
    }

    fn write_invocation(&self, invocations: &mut Invocations, record: &mut RecordWriter<'_, '_>) {
        let stated_id = self.line.request_id.as_deref();
        let id = stated_id.or(invocations.only_running());
        if id.is_some() && stated_id.is_none() {
            record.assume_invocation();
        }
        let tenant_id = self.line.tenant_id.as_deref();
        let durable_execution_arn = self.line.durable_execution_arn.as_deref();
        write_invocation(record, id, Facts { tenant_id, durable_execution_arn }, invocations);
        // An attacker who gets a JSON line into the log must not be able to assign the surrounding records to another function's
        // execution, nor to a tenant, which only Lambda's own lines name.
        if let Some(execution) =
            durable_execution_arn.filter(|arn| is_execution_of(self.identity, arn))
            && let Some(id) = id.map(str::to_owned)
        {
            let facts = Facts { durable_execution_arn: Some(execution), ..Facts::default() };
            invocations.note_facts(&id, facts, true);
        }
    }

    fn write_attributes(&self, record: &mut RecordWriter<'_, '_>) {
        for (key, value) in &self.line.attributes {
            match value {
                _ if self.has_metrics && key == emf::line::KEY => {}
                Value::Text(text) => record.attribute(key, PlainValue::Text(text)),
                Value::Json(raw) if raw.get().len() > MAX_VALUE_BYTES => {
                    record.attribute(key, PlainValue::Text(raw.get()));
                }
                Value::Json(raw) => record.any_attribute(key, &AnyValue { value: typed(raw, 0) }),
            }
        }
    }

    fn write_exception(&self, record: &mut RecordWriter<'_, '_>) {
        let Some(exception) = self.line.exception.as_deref() else { return };
        let fingerprint = fingerprint(exception.as_ref());
        let texts = [
            (names::EXCEPTION_TYPE, Some(&exception.kind)),
            (names::EXCEPTION_MESSAGE, exception.message.as_ref()),
            (names::EXCEPTION_STACKTRACE, exception.stacktrace.as_ref()),
            (names::EXCEPTION_FINGERPRINT, Some(&fingerprint)),
        ];
        for (key, text) in texts {
            let is_taken = self.line.attributes.iter().any(|(taken, _)| taken == key);
            if let Some(text) = text.filter(|_| !is_taken) {
                record.attribute(key, PlainValue::Text(text));
            }
        }
    }
}

/// The maximum difference between the time in a line and the time of its log event, in nanoseconds: one minute. A time further
/// away belongs to something else, such as an order, or comes from a wrong clock.
const MAX_TIME_APART: u64 = 60 * SECOND;
const SECOND: u64 = 1_000_000_000;

/// The time of a record: the stated one if it is near the log event's.
pub(crate) fn record_time(event: &LogEventRef<'_>, stated: Option<LineTime>) -> u64 {
    let logged = event.time_unix_nano();
    match stated.filter(|time| time.unix_nano.abs_diff(logged) <= MAX_TIME_APART) {
        Some(LineTime { unix_nano, is_exact: true }) => unix_nano,
        // Loggers that write whole seconds, such as Python's in Lambda, would move records before their invocation. CloudWatch's
        // time is more precise within the second.
        Some(LineTime { unix_nano, .. }) => {
            logged.clamp(unix_nano, unix_nano.saturating_add(SECOND - 1))
        }
        None => logged,
    }
}

/// The log record of one of Lambda's own events, with its figures in Lambda's units.
///
/// A failure has severity ERROR in every notation.
pub(crate) struct PlatformRecord<'r> {
    pub(crate) event: &'r LogEventRef<'r>,
    pub(crate) platform: &'r PlatformEvent,
    pub(crate) observed_unix_nano: u64,
}

impl PlatformRecord<'_> {
    pub(crate) fn write(&self, invocations: &Invocations, record: &mut RecordWriter<'_, '_>) {
        let Self { event, platform, observed_unix_nano } = self;
        let stated = || platform.level.as_deref().and_then(Severity::of_word);
        let severity = match platform.kind {
            _ if platform.is_failure() => Severity::ERROR,
            EventKind::LogsDropped => stated().unwrap_or(Severity::WARN),
            _ => stated().unwrap_or(Severity::INFO),
        };
        record.times(event.time_unix_nano(), *observed_unix_nano);
        write_common(event, severity, event.message.trim_end(), record);
        record.event_name(platform.kind.as_str());
        write_invocation(record, platform.request_id.as_deref(), Facts::default(), invocations);
        platform_attributes(platform, &mut |key, value| record.attribute(key, value));
        if let Some(trace_id) = &platform.tracing.trace_id {
            record.note_xray_trace(trace_id);
        }
    }
}

/// The reason why a claimed OTLP line was not decoded. The line itself, the function's data, is in the dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecodable<'a> {
    pub reason: &'a str,
    pub size_bytes: usize,
    /// SHA-256 of the line in hex.
    pub sha256: &'a str,
}

/// The log record about an undecodable line, without any part of the line.
pub(crate) struct UndecodableRecord<'r> {
    pub(crate) event: &'r LogEventRef<'r>,
    pub(crate) undecodable: &'r Undecodable<'r>,
    pub(crate) observed_unix_nano: u64,
}

impl UndecodableRecord<'_> {
    pub(crate) fn write(&self, invocations: &Invocations, record: &mut RecordWriter<'_, '_>) {
        let Undecodable { reason, size_bytes, sha256 } = *self.undecodable;
        let body = format!("OTLP line was not decoded: {reason}");
        record.times(self.event.time_unix_nano(), self.observed_unix_nano);
        write_common(self.event, Severity::ERROR, &body, record);
        record.event_name("lambda_otlp.undecodable");
        if invocations.only_running().is_some() {
            record.assume_invocation();
        }
        write_invocation(record, invocations.only_running(), Facts::default(), invocations);
        let size = i64::try_from(size_bytes).unwrap_or(i64::MAX);
        record.attribute("lambda_otlp.undecodable.reason", PlainValue::Text(reason));
        record.attribute("lambda_otlp.undecodable.size_bytes", PlainValue::Int(size));
        record.attribute("lambda_otlp.undecodable.sha256", PlainValue::Text(sha256));
    }
}

/// Writes the fields that all records have after their times: severity, body and the log event's id.
fn write_common(
    event: &LogEventRef<'_>,
    severity: Severity,
    body: &str,
    record: &mut RecordWriter<'_, '_>,
) {
    record.severity(severity);
    record.body(body);
    if !event.id.is_empty() {
        record.attribute(names::LOG_RECORD_UID, PlainValue::Text(event.id));
    }
}

/// Writes the request id and the facts of an invocation. A record's own facts override those from other lines.
fn write_invocation(
    record: &mut RecordWriter<'_, '_>,
    request_id: Option<&str>,
    own: Facts<'_>,
    invocations: &Invocations,
) {
    if let Some(id) = request_id {
        record.invocation(id);
    }
    own.write(invocations.facts_of(request_id), record);
}
