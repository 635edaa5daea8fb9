//! Shows a run in the terminal: each trace as a waterfall with its logs, the metrics, the accounting.

#![expect(clippy::cast_precision_loss, reason = "numbers for the eye")]

use super::accounting::{Account, Accounts, What};
use super::path::{NUMBER, Run, pids};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use simulator::Outcome;
use simulator::sink::{StoredLogRecord, StoredMetric};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

pub(super) fn write(run: &Run, accounts: &Accounts, out: &mut dyn Write) -> io::Result<()> {
    invocations(run, out)?;
    traces(run, out)?;
    metrics(run, out)?;
    accounting(run, accounts, out)
}

fn invocations(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nInvocations")?;
    writeln!(
        out,
        "  {:<20} {:<RESULT$} {:>9} {:>8}  request id",
        "what", "result", "duration", "process"
    )?;
    for (label, invocation) in &run.invocations {
        let result = match &invocation.outcome {
            Outcome::Response(_) => "response".to_owned(),
            Outcome::FunctionError { body, .. } => short(&error_message(body), RESULT),
            Outcome::Timeout => "timed out".to_owned(),
            Outcome::Crash { .. } => "crashed".to_owned(),
        };
        writeln!(
            out,
            "  {label:<20} {result:<RESULT$} {:>6.1} ms {:>8}  {}",
            invocation.duration.as_secs_f64() * 1000.0,
            invocation.pid.unwrap_or_default(),
            invocation.request_id
        )?;
    }
    let forwarders: Vec<String> =
        pids(&run.forwarder_invocations).iter().map(u32::to_string).collect();
    writeln!(
        out,
        "  {} log events -> {} invocations of the forwarder (process {})",
        run.log_events,
        run.forwarder_invocations.len(),
        forwarders.join(", ")
    )
}

/// Width of the column of results.
const RESULT: usize = 34;

/// The text in `{"errorMessage": …}`, which is what a function's caller sees.
pub(super) fn error_message(body: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|error| error.get("errorMessage")?.as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

/// One trace of the run.
#[derive(Default)]
struct Trace<'a> {
    spans: Vec<&'a Span>,
    log_records: Vec<&'a StoredLogRecord>,
}

fn traces(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    let mut traces: BTreeMap<&[u8], Trace<'_>> = BTreeMap::new();
    for span in &run.spans {
        traces.entry(&span.item.trace_id).or_default().spans.push(&span.item);
    }
    for record in run.log_records.iter().filter(|record| !record.item.trace_id.is_empty()) {
        traces.entry(&record.item.trace_id).or_default().log_records.push(record);
    }
    let mut traces: Vec<_> = traces.into_iter().collect();
    traces.sort_by_key(|(_, trace)| trace.spans.iter().map(|span| span.start_time_unix_nano).min());
    for (trace_id, trace) in &traces {
        let invocation = trace
            .spans
            .iter()
            .find_map(|span| attribute(&span.attributes, "faas.invocation_id"))
            .and_then(|id| {
                run.invocations.iter().find(|(_, invocation)| invocation.request_id == id)
            });
        let label = invocation.map_or("its own span never ended", |(label, _)| *label);
        waterfall(trace_id, label, trace, out)?;
    }
    let others: Vec<_> =
        run.log_records.iter().filter(|record| record.item.trace_id.is_empty()).collect();
    writeln!(
        out,
        "\nLog records without a trace: {} (Lambda's own, and what the runtime prints)",
        others.len()
    )?;
    for record in others {
        writeln!(out, "  {:<6} {}", record.item.severity_text, short(&body(record), 100))?;
    }
    Ok(())
}

const BAR: usize = 40;

fn waterfall(
    trace_id: &[u8],
    label: &str,
    trace: &Trace<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let start = trace.spans.iter().map(|span| span.start_time_unix_nano).min().unwrap_or(0);
    let end = trace.spans.iter().map(|span| span.end_time_unix_nano).max().unwrap_or(start);
    let length = (end - start).max(1);
    writeln!(out, "\nTrace {}: {label}", hex(trace_id))?;
    let known: BTreeSet<&[u8]> = trace.spans.iter().map(|span| span.span_id.as_slice()).collect();
    // Depth first, children by start; a span whose parent is not here is a root.
    let mut waiting: Vec<(&Span, usize)> = trace
        .spans
        .iter()
        .filter(|span| !known.contains(span.parent_span_id.as_slice()))
        .map(|span| (*span, 0))
        .collect();
    waiting.sort_by_key(|(span, _)| std::cmp::Reverse(span.start_time_unix_nano));
    while let Some((span, depth)) = waiting.pop() {
        let at = |time: u64| {
            let offset = u128::from(time - start) * BAR as u128 / u128::from(length);
            usize::try_from(offset).unwrap_or(BAR).min(BAR)
        };
        let from = at(span.start_time_unix_nano).min(BAR - 1);
        let to = at(span.end_time_unix_nano).max(from + 1);
        let bar = format!("{}{}{}", " ".repeat(from), "█".repeat(to - from), " ".repeat(BAR - to));
        let failed =
            span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32);
        let name = format!("{}{}", "  ".repeat(depth), span.name);
        let millis = (span.end_time_unix_nano - span.start_time_unix_nano) as f64 / 1e6;
        writeln!(
            out,
            "  {:<34} {millis:>9.2} ms |{bar}| {:<5} {}",
            short(&name, 34),
            if failed { "ERROR" } else { "" },
            number(&span.attributes)
        )?;
        for record in trace.log_records.iter().filter(|record| record.item.span_id == span.span_id)
        {
            writeln!(
                out,
                "  {}- {} {} {}",
                "  ".repeat(depth),
                record.item.severity_text,
                short(&body(record), 80),
                number(&record.item.attributes)
            )?;
        }
        let mut children: Vec<_> = trace
            .spans
            .iter()
            .filter(|child| child.parent_span_id == span.span_id && child.span_id != span.span_id)
            .map(|child| (*child, depth + 1))
            .collect();
        children.sort_by_key(|(child, _)| std::cmp::Reverse(child.start_time_unix_nano));
        waiting.extend(children);
    }
    for record in
        trace.log_records.iter().filter(|record| !known.contains(record.item.span_id.as_slice()))
    {
        writeln!(
            out,
            "  (its span never ended) {} {} {}",
            record.item.severity_text,
            short(&body(record), 60),
            number(&record.item.attributes)
        )?;
    }
    Ok(())
}

fn metrics(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "\nMetrics (Lambda's reports do not tell handler errors and panics: these are in the traces; an environment\n\
         that starts again after a timeout reports no cold start)"
    )?;
    let mut rows: BTreeMap<(&str, &str), Vec<&StoredMetric>> = BTreeMap::new();
    for metric in &run.metrics {
        rows.entry((&metric.item.name, &metric.item.unit)).or_default().push(metric);
    }
    for ((name, unit), metrics) in rows {
        let points: usize = metrics.iter().map(|metric| count_points(metric)).sum();
        writeln!(out, "  {name:<34} {:<14} {points:>3} points  {}", unit, total(&metrics))?;
    }
    Ok(())
}

fn count_points(metric: &StoredMetric) -> usize {
    match &metric.item.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    }
}

fn total(metrics: &[&StoredMetric]) -> String {
    let (mut sum, mut count) = (0.0, 0u64);
    let mut is_histogram = false;
    for metric in metrics {
        match &metric.item.data {
            Some(Data::Histogram(histogram)) => {
                is_histogram = true;
                for point in &histogram.data_points {
                    sum += point.sum.unwrap_or_default();
                    count += point.count;
                }
            }
            Some(Data::Sum(data)) => {
                sum += data.data_points.iter().map(|p| value(p.value.as_ref())).sum::<f64>();
            }
            Some(Data::Gauge(data)) => {
                sum = data.data_points.last().map_or(sum, |point| value(point.value.as_ref()));
            }
            _ => {}
        }
    }
    if is_histogram { format!("sum {sum:.4}, count {count}") } else { format!("{sum}") }
}

fn value(value: Option<&number_data_point::Value>) -> f64 {
    match value {
        Some(number_data_point::Value::AsInt(value)) => *value as f64,
        Some(number_data_point::Value::AsDouble(value)) => *value,
        None => 0.0,
    }
}

fn accounting(run: &Run, accounts: &Accounts, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "\nAccounting: what the function wrote to a file of its own and what its log group holds, against the backend"
    )?;
    writeln!(
        out,
        "  {:<18} {:>6} {:>11} {:>8} {:>9} {:>11} {:>12}",
        "", "made", "found once", "missing", "repeated", "unexpected", "never ended"
    )?;
    let none = Account::default();
    for what in What::ALL {
        let account = accounts.by_kind.get(&what).unwrap_or(&none);
        writeln!(
            out,
            "  {:<18} {:>6} {:>11} {:>8} {:>9} {:>11} {:>12}",
            what.plural(),
            account.made,
            account.found,
            account.missing.len(),
            account.repeated.len(),
            account.unexpected.len(),
            account.never_ended.len()
        )?;
    }
    for (what, account) in &accounts.by_kind {
        for (name, numbers) in [
            ("missing", &account.missing),
            ("repeated", &account.repeated),
            ("unexpected", &account.unexpected),
            ("still open when their process was killed, so not owed", &account.never_ended),
        ] {
            if !numbers.is_empty() {
                let shown: Vec<String> = numbers
                    .iter()
                    .map(|number| match run.lines.get(number) {
                        Some(line) => format!("\"{}\"", short(line, 60)),
                        None => number.clone(),
                    })
                    .collect();
                writeln!(out, "  {} {name}: {}", what.plural(), shown.join(", "))?;
            }
        }
    }
    if run.lost_on_purpose > 0 {
        writeln!(out, "  the backend was told to lose {} and did", run.lost_on_purpose)?;
    }
    for oddity in &run.oddities {
        writeln!(out, "  OpenObserve would store this wrong: {oddity}")?;
    }
    if let Some(endpoint) = &run.elsewhere {
        if run.refused_elsewhere.is_empty() {
            writeln!(out, "  {endpoint}: took everything as well")?;
        }
        for refused in &run.refused_elsewhere {
            writeln!(out, "  {endpoint}: {refused}")?;
        }
    }
    let verdict = if accounts.balance() {
        "balanced: every item that ended was found exactly once"
    } else {
        "NOT BALANCED"
    };
    writeln!(out, "  {verdict}")?;
    if let (Some(endpoint), false) = (&run.elsewhere, run.refused_elsewhere.is_empty()) {
        writeln!(out, "  but {endpoint} DID NOT TAKE EVERYTHING")?;
    }
    Ok(())
}

fn number(attributes: &[KeyValue]) -> String {
    attribute(attributes, NUMBER).map_or(String::new(), |number| format!("#{number}"))
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref().map(text)
}

fn body(record: &StoredLogRecord) -> String {
    record.item.body.as_ref().map(text).unwrap_or_default()
}

fn text(value: &AnyValue) -> String {
    match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    }
}

/// At most `width` characters on one line.
fn short(text: &str, width: usize) -> String {
    let line = text.lines().next().unwrap_or_default().replace('\t', " ");
    if line.chars().count() <= width {
        return line;
    }
    let kept: String = line.chars().take(width - 1).collect();
    format!("{kept}…")
}

fn hex(id: &[u8]) -> String {
    wire::ids::to_hex(id)
}
