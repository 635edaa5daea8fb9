//! Holds log records until the end of the invocation, or until an error.

use super::buffer::{self, Buffer};
use super::early_writes::EarlyWrites;
use crate::export::exporters::StdoutLogExporter;
use opentelemetry::logs::{AnyValue, LogRecord as _, Severity};
use opentelemetry::{InstrumentationScope, Key};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, LogProcessor, SdkLogRecord};
use std::sync::Arc;
use std::time::Duration;
use wire::SignalKind;
use wire::resource as names;

/// Holds log records until [`force_flush`](LogProcessor::force_flush), bounded like the spans. An ERROR record and those before it
/// are written at once, because the process may end in the next moment, and so is a record after the invocation.
#[derive(Debug)]
pub(crate) struct LambdaLogProcessor {
    exporter: StdoutLogExporter,
    buffer: Buffer<ScopedRecord>,
    early_writes: EarlyWrites,
}

impl LambdaLogProcessor {
    pub(crate) fn new(exporter: StdoutLogExporter, max_queue_size: usize) -> Self {
        let size = |scoped: &ScopedRecord| buffer::size_of_record(&scoped.record);
        let losses = Arc::clone(&exporter.line.losses);
        let buffer = Buffer::new(SignalKind::Logs, max_queue_size, size, losses);
        Self { exporter, buffer, early_writes: EarlyWrites::default() }
    }

    /// A record of a thread or task without the context of a span belongs to the running invocation, if there is one.
    fn add_invocation(&self, record: &mut SdkLogRecord) {
        let Some(only) = self.exporter.line.invocations().only_open() else { return };
        let span = only.span_context;
        if span.is_valid() {
            record.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
        }
        record.add_attribute(names::FAAS_INVOCATION_ID, only.request_id);
    }

    /// Returns `true` for a record that must not wait for the end of the invocation. Before the first one, the layer of `tracing`
    /// writes all signals at an error. The handler's error, the only record of our scope, comes with that end.
    fn is_urgent(&self, record: &SdkLogRecord, scope: &InstrumentationScope) -> bool {
        if scope.name() == env!("CARGO_PKG_NAME") {
            return false;
        }
        let invocations = self.exporter.line.invocations();
        let is_error = record.severity_number().is_some_and(|severity| severity >= Severity::Error);
        (is_error && invocations.have_begun()) || invocations.is_outside()
    }

    fn write(&self, batch: &[ScopedRecord]) -> OTelSdkResult {
        let pairs: Vec<_> = batch.iter().map(|scoped| (&scoped.record, &scoped.scope)).collect();
        self.exporter.export_now(&LogBatch::new(&pairs))
    }
}

/// A log record with its scope.
struct ScopedRecord {
    record: SdkLogRecord,
    scope: InstrumentationScope,
}

/// Returns `true` for a default name: `tracing` names an event after its source location, and `tracing-log` any record. Such a
/// record is not an OpenTelemetry event.
fn is_given_by_tracing(event_name: &str) -> bool {
    event_name == "log event"
        || event_name.strip_prefix("event ").is_some_and(|place| place.contains(".rs:"))
}

/// A body for a `tracing` event without a message, such as the ones of `#[instrument(err)]`: its error, else its fields.
fn text_of_fields(record: &SdkLogRecord) -> String {
    let text = |value: &AnyValue| match value {
        AnyValue::String(text) => text.to_string(),
        AnyValue::Int(value) => value.to_string(),
        AnyValue::Double(value) => value.to_string(),
        AnyValue::Boolean(value) => value.to_string(),
        other => format!("{other:?}"),
    };
    let is_error = |key: &Key| ["error", "exception.message"].contains(&key.as_str());
    if let Some((_, error)) = record.attributes_iter().find(|(key, _)| is_error(key)) {
        return text(error);
    }
    let fields = record.attributes_iter().map(|(key, value)| format!("{key}={}", text(value)));
    fields.collect::<Vec<_>>().join(" ")
}

/// The text of a named event, which `tracing` cannot record as its body, and which is therefore a field.
fn text_of_event(record: &SdkLogRecord) -> Option<String> {
    let (_, value) = record.attributes_iter().find(|(key, _)| key.as_str() == "event.body")?;
    if let AnyValue::String(text) = value { Some(text.to_string()) } else { None }
}

impl LogProcessor for LambdaLogProcessor {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if record.event_name().is_some_and(is_given_by_tracing) {
            record.set_event_name("");
            if record.body().is_none() {
                record.set_body(text_of_fields(record).into());
            }
        } else if record.body().is_none()
            && let Some(body) = text_of_event(record)
        {
            record.set_body(body.into());
        }
        // Records from `tracing` events have no time, by which many backends sort.
        if let (None, Some(observed)) = (record.timestamp(), record.observed_timestamp()) {
            record.set_timestamp(observed);
        }
        if record.trace_context().is_none() {
            self.add_invocation(record);
        }
        let scoped = ScopedRecord { record: record.clone(), scope: scope.clone() };
        let timeout = || self.exporter.line.write_timeout();
        self.buffer.push(scoped, false, timeout, |batch| drop(self.write(&batch)));
        if self.is_urgent(record, scope)
            && self.early_writes.try_take(self.exporter.line.invocations().now())
        {
            // Losses are counted where they occur.
            drop(self.force_flush());
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        let timeout = self.exporter.line.write_timeout();
        self.buffer.flush(timeout, |batch| self.write(&batch)).unwrap_or(Ok(()))
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        self.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
