//! The items that are owed besides those that the functions wrote down: what their log groups hold, and what Lambda said.
//!
//! Both are the simulator's own records, read with string comparisons and plain JSON, not with the code under test.

use super::accounting::{Item, ItemKind};
use super::metric_total::Total;
use super::warehouse::is_never_answered;
use serde_json::Value;
use simulator::queue::ReceivedMessage;
use simulator::{Invocation, InvocationResult, LogEvent};
use std::collections::{BTreeMap, BTreeSet};

/// Each line of a function's log group that is owed a log record, by id, and each metric that is owed for the reports in it,
/// with its total.
pub(super) fn of_log(function: &str, log_events: &[LogEvent]) -> Vec<Item> {
    let mut made = Vec::new();
    let (mut reports, mut inits, mut timeouts) = (0u32, 0u32, 0u32);
    let mut reporting_streams = BTreeSet::new();
    let mut is_panic = false;
    for event in log_events {
        let line = event.message.as_str();
        let consumed = ["START RequestId", "END RequestId", "INIT_START"];
        if line.contains("__otel_otlp_stdout")
            || consumed.iter().any(|start| line.starts_with(start))
            || line.trim().is_empty()
        {
            continue;
        }
        // The lines of a panic are one record: the first, the message, and the note.
        let is_part = is_panic;
        is_panic = line.starts_with("thread '") && line.contains(" panicked at ")
            || is_panic && !line.starts_with("note: ");
        if is_part {
            continue;
        }
        made.push((ItemKind::LogLine, event.id.clone()));
        if line.starts_with("REPORT RequestId") {
            reports += 1;
            inits += u32::from(line.contains("\tInit Duration:"));
            timeouts += u32::from(line.contains("Status: timeout"));
            reporting_streams.insert(&event.log_stream);
        }
    }
    let owed = [
        ("aws.lambda.invocations", reports),
        ("faas.invocations", reports - timeouts),
        ("faas.timeouts", timeouts),
        ("faas.coldstarts", inits),
        ("faas.init_duration", inits),
        ("faas.invoke_duration", reports),
        ("faas.mem_usage", reports),
        ("aws.lambda.billed_duration", reports),
        ("aws.lambda.billed_gb_seconds", reports),
        ("aws.lambda.memory_utilization", reports),
        // A gauge: one point for each delivery that holds a report, and here a stream is one delivery.
        ("aws.lambda.memory_limit", u32::try_from(reporting_streams.len()).unwrap_or(u32::MAX)),
    ];
    let owed = owed.into_iter().filter(|(_, total)| *total > 0);
    made.extend(owed.map(|(name, total)| {
        let total = Total { count: total.into(), sum: 0.0 };
        (ItemKind::ReportMetric, total.count(function, name))
    }));
    made
}

/// The SERVER span that is owed for each invocation, by request id: the function's own root, or the extension's in its place where
/// the function's process was killed before.
pub(super) fn of_invocations(invocations: &[Invocation]) -> impl Iterator<Item = Item> {
    invocations.iter().map(|invocation| (ItemKind::ServerSpan, invocation.request_id.clone()))
}

/// The spans that are owed for the function that gives no numbers: one that serves each invocation, by request id, and one for each
/// request that the warehouse had, by its path. Where the warehouse did not answer neither ended.
pub(super) fn of_stock(
    invocations: &[Invocation],
    asked: Vec<String>,
) -> impl Iterator<Item = Item> {
    let kind = |has_ended| if has_ended { ItemKind::Span } else { ItemKind::PartialSpan };
    let served = invocations.iter().map(move |Invocation { request_id, result, .. }| {
        let has_ended = !matches!(result, InvocationResult::Timeout);
        (kind(has_ended), format!("serves {request_id}"))
    });
    let calls = asked
        .into_iter()
        .map(move |path| (kind(!is_never_answered(&path)), format!("calls {path}")));
    served.chain(calls)
}

/// A delivery of the queue: the invocation that it made, and its messages.
pub(super) struct Delivered {
    pub(super) request_id: String,
    pub(super) messages: Vec<ReceivedMessage>,
}

/// What is owed for the messages of a queue: the span of the SDK's call that sent each, and a link to it from each invocation that
/// has had the message. Which span it is the message itself says, as it was received.
pub(super) fn of_queue(deliveries: &[Delivered]) -> Vec<Item> {
    let mut made = BTreeSet::new();
    for Delivered { request_id, messages } in deliveries {
        for message in messages {
            let sender = message.attributes.pointer("/traceparent/StringValue");
            let sender = sender.and_then(Value::as_str).and_then(|parent| parent.split('-').nth(2));
            let sender = sender.unwrap_or("without a traceparent");
            made.insert((ItemKind::Span, format!("sends {sender}")));
            made.insert((ItemKind::Link, link(request_id, sender)));
        }
    }
    made.into_iter().collect()
}

/// What a link is called.
pub(super) fn link(request_id: &str, sender: &str) -> String {
    format!("{request_id} -> {sender}")
}

/// The span that is owed for each invocation of a function, by request id, and each metric that only the extension can make, with
/// its totals. `platform_events` is all that Lambda said.
pub(super) fn of_platform(function: &str, platform_events: &[String]) -> anyhow::Result<Vec<Item>> {
    let mut made = Vec::new();
    let mut totals: BTreeMap<&str, Total> = BTreeMap::new();
    for event in platform_events {
        let event: Value = serde_json::from_str(event)?;
        let at = |pointer: &str| event.pointer(pointer);
        let mut add = |name, value: Option<f64>| {
            let total = totals.entry(name).or_default();
            total.count += 1.0;
            total.sum += value.unwrap_or_default();
        };
        match at("/type").and_then(Value::as_str) {
            Some("platform.start") => {
                let request_id = at("/record/requestId").and_then(Value::as_str);
                made.push((ItemKind::PlatformSpan, request_id.unwrap_or_default().to_owned()));
            }
            Some("platform.runtimeDone") => {
                let bytes = at("/record/metrics/producedBytes").and_then(Value::as_f64);
                add("aws.lambda.produced_bytes", bytes);
            }
            _ => {}
        }
        for span in at("/record/spans").and_then(Value::as_array).into_iter().flatten() {
            let metric = match span.get("name").and_then(Value::as_str) {
                Some("responseLatency") => "aws.lambda.response_latency",
                Some("responseDuration") => "aws.lambda.response_duration",
                Some("runtimeOverhead") => "aws.lambda.runtime_overhead",
                Some("extensionOverhead") => "aws.lambda.extension_overhead",
                _ => continue,
            };
            let milliseconds = span.get("durationMs").and_then(Value::as_f64);
            add(metric, milliseconds.map(|milliseconds| milliseconds / 1000.0));
        }
    }
    let metrics = totals.into_iter();
    made.extend(
        metrics.map(|(name, total)| (ItemKind::ExtensionMetric, total.in_full(function, name))),
    );
    Ok(made)
}
