//! Lambda's events in the Telemetry API schema 2025-01-29, which are its lines in JSON format too.

use std::time::Duration;

use serde::Serialize;

use super::{
    ExtensionEvent, Phase, RUNTIME_VERSION, RUNTIME_VERSION_HASH, Report, ResponseTimes,
    RuntimeDone, Status, rounded_up_to_millis,
};
use crate::clock::Timestamp;
use crate::function::{FunctionSpec, Initialization, LogLevel};
use crate::identifiers::Trace;

#[derive(Serialize)]
struct Event<'a, R> {
    time: String,
    #[serde(rename = "type")]
    kind: &'a str,
    record: R,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InitStart<'a> {
    initialization_type: &'a str,
    phase: &'a str,
    runtime_version: &'a str,
    runtime_version_arn: String,
    function_name: &'a str,
    function_version: &'a str,
    instance_id: &'a str,
    instance_max_memory: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RestoreStart<'a> {
    runtime_version: &'a str,
    runtime_version_arn: String,
    function_name: &'a str,
    function_version: &'a str,
    instance_id: &'a str,
    instance_max_memory: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RestoreDone<'a> {
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<InitMetrics>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InitDone<'a> {
    initialization_type: &'a str,
    phase: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<InitMetrics>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InitMetrics {
    duration_ms: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extension<'a> {
    name: &'a str,
    state: &'a str,
    events: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'a str>,
}

#[derive(Serialize)]
struct TelemetrySubscription<'a> {
    name: &'a str,
    state: &'a str,
    types: &'a [&'a str],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    request_id: &'a str,
    version: &'a str,
    tracing: Tracing<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tracing<'a> {
    span_id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done<'a, M> {
    request_id: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    spans: Vec<Span>,
    metrics: M,
    tracing: Tracing<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    name: &'static str,
    start: String,
    duration_ms: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeMetrics {
    duration_ms: f64,
    produced_bytes: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportMetrics {
    duration_ms: f64,
    #[serde(flatten)]
    of_environment: Option<EnvironmentMetrics>,
}

/// The figures of an on-demand environment. A managed instance has none of them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EnvironmentMetrics {
    billed_duration_ms: u128,
    #[serde(rename = "memorySizeMB")]
    memory_size_mb: u64,
    #[serde(rename = "maxMemoryUsedMB")]
    max_memory_used_mb: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    init_duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restore_duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    billed_restore_duration_ms: Option<u128>,
}

pub(super) fn init_start(
    spec: &FunctionSpec,
    environment: &str,
    phase: Phase,
    now: Timestamp,
) -> SystemLine {
    let record = InitStart {
        initialization_type: spec.initialization.name(),
        phase: phase.name(),
        runtime_version: RUNTIME_VERSION,
        runtime_version_arn: runtime_version_arn(spec),
        function_name: spec.name(),
        function_version: spec.version_name(),
        instance_id: environment,
        instance_max_memory: spec.memory_mb,
    };
    line(LogLevel::Info, "platform.initStart", record, now)
}

pub(super) fn init_runtime_done(
    spec: &FunctionSpec,
    phase: Phase,
    status: &Status,
    now: Timestamp,
) -> SystemLine {
    let record = init_done(spec, phase, status, None);
    line(debug_or_warn(status), "platform.initRuntimeDone", record, now)
}

pub(super) fn init_report(
    spec: &FunctionSpec,
    phase: Phase,
    status: &Status,
    duration: Duration,
    now: Timestamp,
) -> SystemLine {
    let metrics = InitMetrics { duration_ms: milliseconds(duration) };
    let record = init_done(spec, phase, status, Some(metrics));
    let is_on_demand = spec.initialization == Initialization::OnDemand;
    let level = if is_on_demand { debug_or_warn(status) } else { info_or_warn(status) };
    line(level, "platform.initReport", record, now)
}

fn init_done<'a>(
    spec: &FunctionSpec,
    phase: Phase,
    status: &'a Status,
    metrics: Option<InitMetrics>,
) -> InitDone<'a> {
    InitDone {
        initialization_type: spec.initialization.name(),
        phase: phase.name(),
        status: status.name(),
        error_type: status.error_type(),
        metrics,
    }
}

fn runtime_version_arn(spec: &FunctionSpec) -> String {
    format!("arn:aws:lambda:{}::runtime:{RUNTIME_VERSION_HASH}", spec.region)
}

pub(super) fn restore_start(spec: &FunctionSpec, environment: &str, now: Timestamp) -> SystemLine {
    let record = RestoreStart {
        runtime_version: RUNTIME_VERSION,
        runtime_version_arn: runtime_version_arn(spec),
        function_name: spec.name(),
        function_version: spec.version_name(),
        instance_id: environment,
        instance_max_memory: spec.memory_mb,
    };
    line(LogLevel::Info, "platform.restoreStart", record, now)
}

pub(super) fn restore_runtime_done(status: &Status, now: Timestamp) -> SystemLine {
    let record =
        RestoreDone { status: status.name(), error_type: status.error_type(), metrics: None };
    line(debug_or_warn(status), "platform.restoreRuntimeDone", record, now)
}

pub(super) fn restore_report(status: &Status, duration: Duration, now: Timestamp) -> SystemLine {
    let metrics = Some(InitMetrics { duration_ms: milliseconds(duration) });
    let record = RestoreDone { status: status.name(), error_type: status.error_type(), metrics };
    line(info_or_warn(status), "platform.restoreReport", record, now)
}

pub(super) fn extension(extension: &ExtensionEvent<'_>, now: Timestamp) -> SystemLine {
    let record = Extension {
        name: extension.name,
        state: extension.state,
        events: extension.events,
        error_type: extension.error_type,
    };
    line(LogLevel::Info, "platform.extension", record, now)
}

pub(super) fn telemetry_subscription(
    extension: &str,
    types: &[&str],
    now: Timestamp,
) -> SystemLine {
    let record = TelemetrySubscription { name: extension, state: "Subscribed", types };
    line(LogLevel::Info, "platform.telemetrySubscription", record, now)
}

pub(super) fn start(
    spec: &FunctionSpec,
    request_id: &str,
    trace: &Trace,
    now: Timestamp,
) -> SystemLine {
    let record = Start { request_id, version: spec.version_name(), tracing: tracing(trace) };
    line(LogLevel::Info, "platform.start", record, now)
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
    let record = Done {
        request_id: done.request_id,
        status: done.status.name(),
        error_type: done.status.error_type(),
        spans,
        metrics: RuntimeMetrics {
            duration_ms: milliseconds(done.duration),
            produced_bytes: done.produced_bytes,
        },
        tracing: tracing(done.trace),
    };
    line(debug_or_warn(done.status), "platform.runtimeDone", record, now)
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
    let record = Done {
        request_id: &report.request_id,
        status: report.status.name(),
        error_type: report.status.error_type(),
        // For a managed instance, the report carries the spans of `platform.runtimeDone` (AWS Lambda "Telemetry API
        // Event schema reference").
        spans: if report.is_managed {
            response.into_iter().flatten().collect()
        } else {
            overhead.into_iter().collect()
        },
        metrics: ReportMetrics {
            duration_ms: milliseconds(report.duration),
            of_environment: (!report.is_managed).then(|| EnvironmentMetrics {
                billed_duration_ms: report.billed.as_millis(),
                memory_size_mb: report.memory_mb,
                max_memory_used_mb: report.max_memory_mb,
                init_duration_ms: report.init.map(milliseconds),
                restore_duration_ms: report.restore.map(milliseconds),
                billed_restore_duration_ms: report.restore.map(rounded_up_to_millis),
            }),
        },
        tracing: tracing(&report.trace),
    };
    line(info_or_warn(&report.status), "platform.report", record, now)
}

fn tracing(trace: &Trace) -> Tracing<'_> {
    Tracing { span_id: &trace.segment, kind: "X-Amzn-Trace-Id", value: &trace.header }
}

fn span(name: &'static str, start: Timestamp, duration: Duration) -> Span {
    Span { name, start: start.rfc3339(), duration_ms: milliseconds(duration) }
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

fn line<R: Serialize>(
    level: LogLevel,
    kind: &'static str,
    record: R,
    now: Timestamp,
) -> SystemLine {
    // Records are made of texts and numbers: nothing in them can fail to be written.
    let json = serde_json::to_string(&Event { time: now.rfc3339(), kind, record });
    SystemLine { level, kind, json: json.unwrap_or_default() }
}
