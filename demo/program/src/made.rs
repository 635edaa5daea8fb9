//! The items that the functions' own file does not list: lines of the log groups, and items that follow from Lambda's
//! reports.
//!
//! They are derived from the local Lambda's records by string comparison and plain JSON, without the code under test.

use crate::accounting::{CountedItem, ItemKind};
use crate::functions::is_never_answered;
use crate::stored::total;
use local_lambda::{Invocation, InvocationResult, LogEvent};
use std::collections::BTreeSet;

/// The beginning of a compact OTLP line.
pub(crate) const COMPACT: &str = "{\"_otelc\":\"";

/// Returns the log lines that must become log records, by id, and the metrics of the reports among them, with their
/// totals. A report does not say that the handler failed; the local Lambda's record of the invocation does.
pub(crate) fn of_log(
    function: &str,
    log_events: &[LogEvent],
    invocations: &[Invocation],
) -> Vec<CountedItem> {
    let has_failed = |it: &&Invocation| matches!(it.result, InvocationResult::FunctionError { .. });
    let errors = u32::try_from(invocations.iter().filter(has_failed).count()).unwrap_or(u32::MAX);
    let mut made = Vec::new();
    let mut reports = 0u32;
    let mut inits = 0u32;
    let mut timeouts = 0u32;
    let mut reporting_streams = BTreeSet::new();
    let mut is_panic = false;
    for event in log_events {
        let line = event.message.as_str();
        let consumed = ["START RequestId", "END RequestId", "INIT_START"];
        if line.contains("__otel_otlp_stdout")
            || line.starts_with(COMPACT)
            || consumed.iter().any(|start| line.starts_with(start))
            || line.trim().is_empty()
        {
            continue;
        }
        // The lines of a panic are one record: the first line, the message and the note.
        let is_part = is_panic;
        is_panic = line.starts_with("thread '") && line.contains(" panicked at ")
            || is_panic && !line.starts_with("note: ");
        if is_part {
            continue;
        }
        made.push(CountedItem::new(ItemKind::LogLine, event.id.clone()));
        if line.starts_with("REPORT RequestId") {
            reports += 1;
            inits += u32::from(line.contains("\tInit Duration:"));
            timeouts += u32::from(line.contains("Status: timeout"));
            reporting_streams.insert(&event.log_stream);
        }
    }
    let owed = [
        ("aws.lambda.invocations", reports),
        ("faas.invocations", reports - timeouts - errors),
        ("faas.errors", errors),
        ("faas.timeouts", timeouts),
        ("faas.coldstarts", inits),
        ("faas.init_duration", inits),
        ("faas.invoke_duration", reports),
        ("faas.mem_usage", reports),
        ("aws.lambda.billed_duration", reports),
        ("aws.lambda.billed_gb_seconds", reports),
        ("aws.lambda.memory_utilization", reports),
        // A gauge has one point for each delivery with a report, and here each stream is one delivery.
        ("aws.lambda.memory_limit", u32::try_from(reporting_streams.len()).unwrap_or(u32::MAX)),
    ];
    for (name, sum) in owed {
        if sum > 0 {
            let total = total(function, name, sum.into());
            made.push(CountedItem::new(ItemKind::ReportMetric, total));
        }
    }
    made
}

/// Returns the SERVER span of each invocation and the extension's span, by request id. If the function's process was killed,
/// they are the same.
pub(crate) fn of_invocations(invocations: &[Invocation]) -> impl Iterator<Item = CountedItem> {
    invocations.iter().flat_map(|Invocation { request_id, .. }| {
        [ItemKind::ServerSpan, ItemKind::PlatformSpan]
            .map(|kind| CountedItem::new(kind, request_id.clone()))
    })
}

/// Returns the spans of "stock", which numbers nothing: one for each invocation, by request id, one for each request to
/// the warehouse, by path, and the X-Ray subsegment around the request. If the warehouse does not answer, the first two
/// are partial, and X-Ray's SDK sends nothing.
pub(crate) fn of_stock(
    invocations: &[Invocation],
    asked: Vec<String>,
) -> impl Iterator<Item = CountedItem> {
    let kind = |has_ended| if has_ended { ItemKind::Span } else { ItemKind::PartialSpan };
    let served = invocations.iter().map(move |Invocation { request_id, result, .. }| {
        let has_ended = !matches!(result, InvocationResult::Timeout);
        CountedItem::new(kind(has_ended), format!("serves {request_id}"))
    });
    let calls = asked.into_iter().flat_map(move |path| {
        let has_ended = !is_never_answered(&path);
        let around =
            has_ended.then(|| CountedItem::new(ItemKind::Span, format!("waits for {path}")));
        let call = CountedItem::new(kind(has_ended), format!("calls {path}"));
        around.into_iter().chain([call])
    });
    served.chain(calls)
}

/// Returns the library's records of errors that handlers in Rust returned, by request id. The panic hook prints panics.
pub(crate) fn error_records(invocations: &[Invocation]) -> impl Iterator<Item = CountedItem> {
    let has_error = |invocation: &&Invocation| match &invocation.result {
        InvocationResult::FunctionError { body, .. } => {
            !String::from_utf8_lossy(body).contains("Lambda panicked: ")
        }
        _ => false,
    };
    let failed = invocations.iter().filter(has_error);
    failed.map(|Invocation { request_id, .. }| {
        CountedItem::new(ItemKind::LogRecord, format!("the error of {request_id}"))
    })
}

/// Returns the SERVER spans of "parcels", which have no number: the CONSUMER span below each has it.
pub(crate) fn of_parcels(invocations: &[Invocation]) -> impl Iterator<Item = CountedItem> {
    invocations.iter().map(|Invocation { request_id, .. }| {
        CountedItem::new(ItemKind::Span, format!("serves {request_id}"))
    })
}
