//! Lambda's events in the Telemetry API schema 2025-01-29, which are its lines in JSON format too.

use std::time::Duration;

use serde::Serialize;

use super::{
    ExtensionEvent, Phase, RUNTIME_VERSION, RUNTIME_VERSION_HASH, Report, ResponseTimes,
    RuntimeDone, Status, rounded_up_to_millis,
};
use crate::clock::Timestamp;
use crate::function::{FunctionSpec, Initialization, LogLevel, VERSION};
use crate::identifiers::Trace;

/// The members of a JSON object in Lambda's order; a `serde_json::Value` would sort them.
#[derive(Default)]
struct Object(String);

impl Object {
    fn with(self, key: &str, value: impl Serialize) -> Self {
        // Values are texts and numbers: nothing in them can fail to be written.
        self.with_json(key, &serde_json::to_string(&value).unwrap_or_default())
    }

    fn with_some(self, key: &str, value: Option<impl Serialize>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    fn with_object(self, key: &str, object: &Self) -> Self {
        self.with_json(key, &object.json())
    }

    fn with_json(mut self, key: &str, json: &str) -> Self {
        let comma = if self.0.is_empty() { "" } else { "," };
        self.0.extend([comma, "\"", key, "\":", json]);
        self
    }

    fn with_status(self, status: &Status) -> Self {
        self.with("status", status.name()).with_some("errorType", status.error_type())
    }

    fn with_tracing(self, trace: &Trace) -> Self {
        let tracing = Self::default()
            .with("spanId", &trace.segment)
            .with("type", "X-Amzn-Trace-Id")
            .with("value", &trace.header);
        self.with_object("tracing", &tracing)
    }

    /// Adds members that describe the runtime, the function and the environment.
    fn with_environment(self, spec: &FunctionSpec, environment: &str) -> Self {
        let arn = format!("arn:aws:lambda:{}::runtime:{RUNTIME_VERSION_HASH}", spec.region);
        self.with("runtimeVersion", RUNTIME_VERSION)
            .with("runtimeVersionArn", arn)
            .with("functionName", spec.name())
            .with("functionVersion", VERSION)
            .with("instanceId", environment)
            .with("instanceMaxMemory", spec.memory_mb)
    }

    fn json(&self) -> String {
        format!("{{{}}}", self.0)
    }
}

pub(super) fn init_start(
    spec: &FunctionSpec,
    environment: &str,
    phase: Phase,
    now: Timestamp,
) -> SystemLine {
    let record = init(spec, phase).with_environment(spec, environment);
    line(LogLevel::Info, "platform.initStart", &record, now)
}

fn init(spec: &FunctionSpec, phase: Phase) -> Object {
    Object::default()
        .with("initializationType", spec.initialization.name())
        .with("phase", phase.name())
}

pub(super) fn init_runtime_done(
    spec: &FunctionSpec,
    phase: Phase,
    status: &Status,
    now: Timestamp,
) -> SystemLine {
    let record = init(spec, phase).with_status(status);
    line(debug_or_warn(status), "platform.initRuntimeDone", &record, now)
}

pub(super) fn init_report(
    spec: &FunctionSpec,
    phase: Phase,
    status: &Status,
    duration: Duration,
    now: Timestamp,
) -> SystemLine {
    let record = init(spec, phase).with_status(status).with_object("metrics", &lasted(duration));
    let is_on_demand = spec.initialization == Initialization::OnDemand;
    let level = if is_on_demand { debug_or_warn(status) } else { info_or_warn(status) };
    line(level, "platform.initReport", &record, now)
}

pub(super) fn restore_start(spec: &FunctionSpec, environment: &str, now: Timestamp) -> SystemLine {
    let record = Object::default().with_environment(spec, environment);
    line(LogLevel::Info, "platform.restoreStart", &record, now)
}

pub(super) fn restore_runtime_done(status: &Status, now: Timestamp) -> SystemLine {
    let record = Object::default().with_status(status);
    line(debug_or_warn(status), "platform.restoreRuntimeDone", &record, now)
}

pub(super) fn restore_report(status: &Status, duration: Duration, now: Timestamp) -> SystemLine {
    let record = Object::default().with_status(status).with_object("metrics", &lasted(duration));
    line(info_or_warn(status), "platform.restoreReport", &record, now)
}

pub(super) fn extension(extension: &ExtensionEvent<'_>, now: Timestamp) -> SystemLine {
    let record = Object::default()
        .with("name", extension.name)
        .with("state", extension.state)
        .with("events", extension.events)
        .with_some("errorType", extension.error_type);
    line(LogLevel::Info, "platform.extension", &record, now)
}

pub(super) fn telemetry_subscription(
    extension: &str,
    state: &str,
    types: &[&str],
    now: Timestamp,
) -> SystemLine {
    let record =
        Object::default().with("name", extension).with("state", state).with("types", types);
    line(LogLevel::Info, "platform.telemetrySubscription", &record, now)
}

pub(super) fn start(request_id: &str, trace: &Trace, now: Timestamp) -> SystemLine {
    let record = Object::default()
        .with("requestId", request_id)
        .with("version", VERSION)
        .with_tracing(trace);
    line(LogLevel::Info, "platform.start", &record, now)
}

pub(super) fn runtime_done(done: &RuntimeDone<'_>, now: Timestamp) -> SystemLine {
    let spans = done.response.map_or_else(Vec::new, |ResponseTimes { latency, duration }| {
        let answered = done.started.after(latency);
        let overhead = done.duration.saturating_sub(latency + duration);
        vec![
            span("responseLatency", done.started, latency),
            span("responseDuration", answered, duration),
            span("runtimeOverhead", answered.after(duration), overhead),
        ]
    });
    let metrics = lasted(done.duration).with("producedBytes", done.produced_bytes);
    let record = ended(done.request_id, done.status, &spans, &metrics, done.trace);
    line(debug_or_warn(done.status), "platform.runtimeDone", &record, now)
}

pub(super) fn report(report: &Report, now: Timestamp) -> SystemLine {
    let overhead = report.post_runtime.filter(|_| report.has_extensions);
    let overhead = overhead.map(|overhead| {
        let runtime = report.duration.saturating_sub(overhead);
        span("extensionOverhead", report.started.after(runtime), overhead)
    });
    let response = report.response.map(|ResponseTimes { latency, duration }| {
        let answered = report.started.after(latency);
        [
            span("responseLatency", report.started, latency),
            span("responseDuration", answered, duration),
        ]
    });
    // For a managed instance, the report carries the spans of `platform.runtimeDone` (AWS Lambda "Telemetry API Event
    // schema reference").
    let spans: Vec<Object> = if report.is_managed {
        response.into_iter().flatten().collect()
    } else {
        overhead.into_iter().collect()
    };
    let mut metrics = lasted(report.duration);
    // A managed instance has none of these figures.
    if !report.is_managed {
        metrics = metrics
            .with("billedDurationMs", report.billed.as_millis())
            .with("memorySizeMB", report.memory_mb)
            .with("maxMemoryUsedMB", report.max_memory_mb)
            .with_some("initDurationMs", report.init.map(milliseconds))
            .with_some("restoreDurationMs", report.restore.map(milliseconds))
            .with_some("billedRestoreDurationMs", report.restore.map(rounded_up_to_millis));
    }
    let record = ended(&report.request_id, &report.status, &spans, &metrics, &report.trace);
    line(info_or_warn(&report.status), "platform.report", &record, now)
}

/// The record of an invocation that has ended.
fn ended(
    request_id: &str,
    status: &Status,
    spans: &[Object],
    metrics: &Object,
    trace: &Trace,
) -> Object {
    let mut record = Object::default().with("requestId", request_id).with_status(status);
    if !spans.is_empty() {
        let spans: Vec<String> = spans.iter().map(Object::json).collect();
        record = record.with_json("spans", &format!("[{}]", spans.join(",")));
    }
    record.with_object("metrics", metrics).with_tracing(trace)
}

fn span(name: &str, start: Timestamp, duration: Duration) -> Object {
    Object::default()
        .with("name", name)
        .with("start", start.rfc3339())
        .with("durationMs", milliseconds(duration))
}

fn lasted(duration: Duration) -> Object {
    Object::default().with("durationMs", milliseconds(duration))
}

fn info_or_warn(status: &Status) -> LogLevel {
    if *status == Status::Success { LogLevel::Info } else { LogLevel::Warn }
}

fn debug_or_warn(status: &Status) -> LogLevel {
    if *status == Status::Success { LogLevel::Debug } else { LogLevel::Warn }
}

/// Milliseconds with three decimals, as Lambda's events have them.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// An event of Lambda itself, and the level at which it is a line of the log.
#[derive(Debug)]
pub(super) struct SystemLine {
    pub(super) level: LogLevel,
    pub(super) kind: &'static str,
    pub(super) json: String,
}

fn line(level: LogLevel, kind: &'static str, record: &Object, now: Timestamp) -> SystemLine {
    let event = Object::default().with("time", now.rfc3339()).with("type", kind);
    SystemLine { level, kind, json: event.with_object("record", record).json() }
}
