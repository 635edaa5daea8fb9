//! Shows a run in the terminal: each trace as a waterfall with its logs, the metrics, the accounting.

#![expect(clippy::cast_precision_loss, reason = "numbers for the eye")]

use super::accounting::{Account, Accounts, ItemKind};
use super::functions::{EXTENSION, ORDERS, SHOP};
use super::run::{Labelled, Run, error_message, pids};
use super::stored::{self, INVOCATION_ID, service, text, text_of};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use simulator::InvocationResult;
use simulator::sink::{StoredLogRecord, StoredMetric, StoredSpan};
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
        "  {:<8} {:<20} {:<RESULT$} {:>9} {:>8}  request id",
        "function", "what", "result", "duration", "process"
    )?;
    for Labelled { function, label, invocation } in &run.invocations {
        let result = match &invocation.result {
            InvocationResult::Response(_) => "response".to_owned(),
            InvocationResult::FunctionError { body, .. } => short(&error_message(body), RESULT),
            InvocationResult::Timeout => "timed out".to_owned(),
            InvocationResult::Crash { .. } => "crashed".to_owned(),
        };
        writeln!(
            out,
            "  {function:<8} {label:<20} {result:<RESULT$} {:>6.1} ms {:>8}  {}",
            invocation.duration.as_secs_f64() * 1000.0,
            invocation.pid.unwrap_or_default(),
            invocation.request_id
        )?;
    }
    writeln!(
        out,
        "  {} log events -> {} invocations of the forwarder",
        run.log_events,
        run.forwarder_invocations.len(),
    )?;
    processes(run, out)
}

fn processes(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nProcesses")?;
    let mut line = |name: &str, pids: BTreeSet<u32>| {
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        if pids.is_empty() { Ok(()) } else { writeln!(out, "  {name:<38} {}", pids.join(", ")) }
    };
    for (function, language) in [(ORDERS, "Rust"), (SHOP, "Python")] {
        let own = run.invocations.iter().filter(|invocation| invocation.function == function);
        line(&format!("{function} ({language})"), pids(own.map(|labelled| &labelled.invocation)))?;
        let extensions = run.extensions.get(function).cloned().unwrap_or_default();
        line(&format!("{EXTENSION} beside {function}"), extensions)?;
    }
    line("lambda-otlp-forwarder", pids(&run.forwarder_invocations))?;
    line("the local Lambda, and the backend", BTreeSet::from([std::process::id()]))
}

/// Width of the column of results.
const RESULT: usize = 34;

/// One trace of the run.
#[derive(Default)]
struct Trace<'a> {
    spans: Vec<&'a StoredSpan>,
    log_records: Vec<&'a StoredLogRecord>,
}

fn traces(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    let mut traces: BTreeMap<&[u8], Trace<'_>> = BTreeMap::new();
    for span in &run.arrived.spans {
        traces.entry(&span.item.trace_id).or_default().spans.push(span);
    }
    for record in run.arrived.log_records.iter().filter(|record| !record.item.trace_id.is_empty()) {
        traces.entry(&record.item.trace_id).or_default().log_records.push(record);
    }
    let mut traces: Vec<_> = traces.into_iter().collect();
    traces.sort_by_key(|(_, trace)| {
        trace.spans.iter().map(|span| span.item.start_time_unix_nano).min()
    });
    for (trace_id, trace) in &traces {
        let spans = trace.spans.iter();
        let requests: BTreeSet<String> =
            spans.filter_map(|span| text_of(&span.item.attributes, INVOCATION_ID)).collect();
        // The caller stands before the called.
        let invocation =
            run.invocations.iter().find(|known| requests.contains(&known.invocation.request_id));
        let label = invocation.map_or_else(
            || "of no known invocation".to_owned(),
            |Labelled { function, label, .. }| format!("{function}, {label}"),
        );
        waterfall(trace_id, &label, trace, out)?;
    }
    let others: Vec<_> =
        run.arrived.log_records.iter().filter(|record| record.item.trace_id.is_empty()).collect();
    writeln!(
        out,
        "\nLog records without a trace: {} of {} (what Lambda says outside of any invocation)",
        others.len(),
        run.arrived.log_records.len()
    )?;
    for record in others {
        let (service, level) = (service(record), &record.item.severity_text);
        writeln!(out, "  {service:<8} {level:<6} {}", short(&body(record), 100))?;
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
    let items = || trace.spans.iter().map(|span| &span.item);
    let start = items().map(|span| span.start_time_unix_nano).min().unwrap_or(0);
    let end = items().map(|span| span.end_time_unix_nano).max().unwrap_or(start);
    writeln!(out, "\nTrace {}: {label}", hex(trace_id))?;
    let known: BTreeSet<&[u8]> = items().map(|span| span.span_id.as_slice()).collect();
    // Depth first, children by start; a span whose parent is not here is a root.
    let mut waiting: Vec<(&StoredSpan, usize)> = trace
        .spans
        .iter()
        .filter(|span| !known.contains(span.item.parent_span_id.as_slice()))
        .map(|span| (*span, 0))
        .collect();
    waiting.sort_by_key(|(span, _)| std::cmp::Reverse(span.item.start_time_unix_nano));
    while let Some((stored, depth)) = waiting.pop() {
        let span = &stored.item;
        writeln!(out, "  {}", bar(stored, depth, start, end))?;
        for record in trace.log_records.iter().filter(|record| record.item.span_id == span.span_id)
        {
            writeln!(
                out,
                "  {:<8} {}- {} {} {}",
                "",
                "  ".repeat(depth),
                record.item.severity_text,
                short(&body(record), 80),
                number(&record.item.attributes)
            )?;
        }
        let mut children: Vec<_> = trace
            .spans
            .iter()
            .map(|child| (*child, &child.item))
            .filter(|(_, child)| child.parent_span_id == span.span_id)
            .filter(|(_, child)| child.span_id != span.span_id)
            .map(|(child, _)| (child, depth + 1))
            .collect();
        children.sort_by_key(|(child, _)| std::cmp::Reverse(child.item.start_time_unix_nano));
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

/// One span of a waterfall that lasts from `start` to `end`.
fn bar(stored: &StoredSpan, depth: usize, start: u64, end: u64) -> String {
    let span = &stored.item;
    let length = u128::from((end - start).max(1));
    let at = |time: u64| {
        let offset = u128::from(time - start) * BAR as u128 / length;
        usize::try_from(offset).unwrap_or(BAR).min(BAR)
    };
    let from = at(span.start_time_unix_nano).min(BAR - 1);
    let to = at(span.end_time_unix_nano).max(from + 1);
    let bar = format!("{}{}{}", " ".repeat(from), "█".repeat(to - from), " ".repeat(BAR - to));
    let failed = span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32);
    let name = format!("{}{}", "  ".repeat(depth), span.name);
    let millis = (span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano)) as f64 / 1e6;
    format!(
        "{:<8} {:<34} {millis:>9.2} ms |{bar}| {:<5} {}",
        service(stored),
        short(&name, 34),
        if failed { "ERROR" } else { "" },
        number(&span.attributes)
    )
}

fn metrics(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "\nMetrics (Lambda's reports do not tell handler errors and panics: these are in the traces; an environment\n\
         that starts again after a timeout reports no cold start)"
    )?;
    let mut rows: BTreeMap<(String, &str, &str), Vec<&StoredMetric>> = BTreeMap::new();
    for metric in &run.arrived.metrics {
        let key = (service(metric), metric.item.name.as_str(), metric.item.unit.as_str());
        rows.entry(key).or_default().push(metric);
    }
    for ((service, name, unit), metrics) in rows {
        let points: usize = metrics.iter().map(|metric| count_points(metric)).sum();
        let total = total(&metrics);
        writeln!(out, "  {service:<8} {name:<34} {unit:<14} {points:>3} points  {total}")?;
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
        "\nAccounting: what the functions wrote to a file of their own, what their log groups hold and what Lambda said,\n\
         against the backend"
    )?;
    writeln!(
        out,
        "  {:<24} {:>6} {:>11} {:>8} {:>9} {:>11} {:>12}",
        "", "made", "found once", "missing", "repeated", "unexpected", "never ended"
    )?;
    let none = Account::default();
    for what in ItemKind::ALL {
        let account = accounts.by_kind.get(&what).unwrap_or(&none);
        writeln!(
            out,
            "  {:<24} {:>6} {:>11} {:>8} {:>9} {:>11} {:>12}",
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
    if run.told_to_lose > 0 {
        let (told, lost) = (run.told_to_lose, run.lost_on_purpose);
        writeln!(out, "  the backend was told to lose {told}, and lost {lost}")?;
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
    stored::number(attributes).map_or(String::new(), |number| format!("#{number}"))
}

fn body(record: &StoredLogRecord) -> String {
    record.item.body.as_ref().map(text).unwrap_or_default()
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
