//! Lambda's lines in JSON format: the events of the Telemetry API schema 2025-01-29, as far as the system level lets them.

use std::time::Duration;

use serde::Serialize;

use super::{Phase, RUNTIME_VERSION, RUNTIME_VERSION_HASH, Report, Status};
use crate::clock::Timestamp;
use crate::function::{FunctionSpec, LogLevel};
use crate::identifiers::Trace;

/// The envelope of every event.
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
struct Extension<'a> {
    name: &'a str,
    state: &'a str,
    events: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    request_id: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracing: Option<Tracing<'a>>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    tracing: Option<Tracing<'a>>,
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
    billed_duration_ms: u128,
    #[serde(rename = "memorySizeMB")]
    memory_size_mb: u64,
    #[serde(rename = "maxMemoryUsedMB")]
    max_memory_used_mb: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    init_duration_ms: Option<f64>,
}

const ON_DEMAND: &str = "on-demand";

pub(super) fn init_start(spec: &FunctionSpec, environment: &str, now: Timestamp) -> Option<String> {
    let record = InitStart {
        initialization_type: ON_DEMAND,
        phase: Phase::Init.name(),
        runtime_version: RUNTIME_VERSION,
        runtime_version_arn: format!(
            "arn:aws:lambda:{}::runtime:{RUNTIME_VERSION_HASH}",
            spec.region
        ),
        function_name: spec.name(),
        function_version: spec.version_name(),
        instance_id: environment,
        instance_max_memory: spec.memory_mb,
    };
    line(spec, LogLevel::Info, "platform.initStart", record, now)
}

pub(super) fn init_runtime_done(
    spec: &FunctionSpec,
    phase: Phase,
    status: &Status,
    now: Timestamp,
) -> Option<String> {
    line(
        spec,
        debug_or_warn(status),
        "platform.initRuntimeDone",
        init_done(phase, status, None),
        now,
    )
}

pub(super) fn init_report(
    spec: &FunctionSpec,
    phase: Phase,
    status: &Status,
    duration: Duration,
    now: Timestamp,
) -> Option<String> {
    let metrics = InitMetrics { duration_ms: milliseconds(duration) };
    line(
        spec,
        debug_or_warn(status),
        "platform.initReport",
        init_done(phase, status, Some(metrics)),
        now,
    )
}

fn init_done(phase: Phase, status: &Status, metrics: Option<InitMetrics>) -> InitDone<'_> {
    InitDone {
        initialization_type: ON_DEMAND,
        phase: phase.name(),
        status: status.name(),
        error_type: status.error_type(),
        metrics,
    }
}

pub(super) fn extension(
    spec: &FunctionSpec,
    name: &str,
    events: &[String],
    now: Timestamp,
) -> Option<String> {
    line(
        spec,
        LogLevel::Info,
        "platform.extension",
        Extension { name, state: "Ready", events },
        now,
    )
}

pub(super) fn start(
    spec: &FunctionSpec,
    request_id: &str,
    trace: Option<&Trace>,
    now: Timestamp,
) -> Option<String> {
    let record = Start { request_id, version: spec.version_name(), tracing: trace.map(tracing) };
    line(spec, LogLevel::Info, "platform.start", record, now)
}

pub(super) fn runtime_done(spec: &FunctionSpec, report: &Report, now: Timestamp) -> Option<String> {
    let spans = report.response_latency.map_or_else(Vec::new, |latency| {
        let responded = report.started.after(latency);
        let overhead = report.duration.saturating_sub(latency);
        vec![
            span("responseLatency", report.started, latency),
            span("responseDuration", responded, Duration::ZERO),
            span("runtimeOverhead", responded, overhead),
        ]
    });
    let record = Done {
        request_id: &report.request_id,
        status: report.status.name(),
        error_type: report.status.error_type(),
        spans,
        metrics: RuntimeMetrics {
            duration_ms: milliseconds(report.duration),
            produced_bytes: report.produced_bytes,
        },
        tracing: report.trace.as_ref().map(tracing),
    };
    line(spec, debug_or_warn(&report.status), "platform.runtimeDone", record, now)
}

pub(super) fn report(spec: &FunctionSpec, report: &Report, now: Timestamp) -> Option<String> {
    let level = if report.status == Status::Success { LogLevel::Info } else { LogLevel::Warn };
    let record = Done {
        request_id: &report.request_id,
        status: report.status.name(),
        error_type: report.status.error_type(),
        spans: Vec::new(),
        metrics: ReportMetrics {
            duration_ms: milliseconds(report.duration),
            billed_duration_ms: report.billed.as_millis(),
            memory_size_mb: report.memory_mb,
            max_memory_used_mb: report.max_memory_mb,
            init_duration_ms: report.init.map(milliseconds),
        },
        tracing: report.trace.as_ref().map(tracing),
    };
    line(spec, level, "platform.report", record, now)
}

fn tracing(trace: &Trace) -> Tracing<'_> {
    Tracing { span_id: &trace.segment, kind: "X-Amzn-Trace-Id", value: &trace.header }
}

fn span(name: &'static str, start: Timestamp, duration: Duration) -> Span {
    Span { name, start: start.rfc3339(), duration_ms: milliseconds(duration) }
}

fn debug_or_warn(status: &Status) -> LogLevel {
    if *status == Status::Success { LogLevel::Debug } else { LogLevel::Warn }
}

/// Milliseconds with three decimals, as Lambda's events have them.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// The event as a line, if the function's system log level lets it through.
fn line<R: Serialize>(
    spec: &FunctionSpec,
    level: LogLevel,
    kind: &str,
    record: R,
    now: Timestamp,
) -> Option<String> {
    if level < spec.system_log_level {
        return None;
    }
    serde_json::to_string(&Event { time: now.rfc3339(), kind, record }).ok()
}
