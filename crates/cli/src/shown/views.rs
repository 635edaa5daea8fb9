//! Telemetry as text (traces as waterfalls with their log records, then log records without a trace, and metrics), and as JSON.

use super::ReceivedTelemetry;
use super::drawn::RedrawnTraces;
use console::quantity::{plural, quantity};
use console::screen;
use console::waterfall::draw::{self, Detail, HEADING, short, time_of_day};
use console::waterfall::{DrawnRecord, InvocationReport, Scoped, traces, waterfalls};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::{self, Write};

const LONGEST_NAME: usize = 64;

/// Telemetry as text.
pub(super) struct TextView {
    pub(super) has_several_services: bool,
    pub(super) detail: Detail,
}

impl TextView {
    /// Writes telemetry. The headings of redrawn traces say so.
    pub(super) fn write(
        &self,
        telemetry: &ReceivedTelemetry,
        redrawn: &RedrawnTraces,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let width = draw::terminal_width();
        let traced: BTreeSet<&[u8]> =
            telemetry.spans.iter().map(|span| span.item.trace_id.as_slice()).collect();
        let has_no_spans =
            |record: &&Scoped<LogRecord>| !traced.contains(record.item.trace_id.as_slice());
        let mut without_spans: Vec<&Scoped<LogRecord>> =
            telemetry.records.iter().filter(has_no_spans).collect();
        without_spans.sort_by_key(|record| DrawnRecord::of(record).time);
        for record in without_spans {
            if let Some(report) = InvocationReport::of(&record.item) {
                let text = format!("{} {report}", time_of_day(report.time));
                draw::line(&text, width, out)?;
            } else {
                let drawn = DrawnRecord::of(record);
                draw::log_record(&drawn, self.has_several_services, self.detail, width, out)?;
            }
        }
        for trace in waterfalls(&telemetry.spans, &telemetry.records) {
            if trace.rows.is_empty() {
                continue;
            }
            let mut label = label(&trace.invocations);
            if let Some(new) = redrawn.new_spans_of(&trace.trace_id) {
                label = format!("{label}, again with {}", plural(new, "later span"));
            }
            draw::waterfall(&trace, &label, self.detail, width, out)?;
        }
        if !telemetry.metrics.is_empty() {
            writeln!(out, "\n{HEADING}Metrics{HEADING:#}")?;
        }
        for Scoped { service, item: metric, .. } in &telemetry.metrics {
            let [service, name, unit] =
                [service, &metric.name, &metric.unit].map(|text| short(text, LONGEST_NAME));
            for value in values(metric, &unit) {
                writeln!(out, "  {service:<8} {name:<40} {value}")?;
            }
        }
        out.flush()
    }
}

/// Names a trace after its invocations.
fn label(invocations: &BTreeSet<String>) -> String {
    let ids: Vec<&str> = invocations.iter().map(String::as_str).collect();
    match ids.as_slice() {
        [] => "without an invocation id".to_owned(),
        [one] => format!("invocation {one}"),
        several => format!("invocations {}", several.join(", ")),
    }
}

fn values(metric: &Metric, unit: &str) -> Vec<String> {
    #[expect(clippy::cast_precision_loss, reason = "numbers for the eye")]
    let point = |value: &Option<Number>| match value {
        Some(Number::AsInt(value)) => quantity(*value as f64, unit),
        Some(Number::AsDouble(value)) => quantity(*value, unit),
        None => "no value".to_owned(),
    };
    let summary = |count: u64, sum: Option<f64>| {
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        sum.map_or_else(|| times.clone(), |sum| format!("{times}, sum {}", quantity(sum, unit)))
    };
    match &metric.data {
        Some(Data::Gauge(data)) => data.data_points.iter().map(|it| point(&it.value)).collect(),
        Some(Data::Sum(data)) => data.data_points.iter().map(|it| point(&it.value)).collect(),
        Some(Data::Histogram(data)) => {
            data.data_points.iter().map(|it| summary(it.count, it.sum)).collect()
        }
        Some(Data::ExponentialHistogram(data)) => {
            data.data_points.iter().map(|it| summary(it.count, it.sum)).collect()
        }
        Some(Data::Summary(data)) => {
            data.data_points.iter().map(|it| summary(it.count, Some(it.sum))).collect()
        }
        None => Vec::new(),
    }
}

/// Writes telemetry as JSON objects, one per line: `{"trace": …}`, `{"logRecord": …}` and `{"metric": …}`, in the form of
/// OTLP/JSON with an additional `service`.
pub(super) fn json(telemetry: &ReceivedTelemetry, out: &mut dyn Write) -> io::Result<()> {
    for (trace_id, trace) in traces(&telemetry.spans, &telemetry.records) {
        let mut spans = Vec::new();
        for span in &trace.spans {
            let mut object = with_service(span)?;
            object.insert("scope".to_owned(), span.scope.as_str().into());
            spans.push(object);
        }
        let records: Vec<Map<String, Value>> =
            trace.records.iter().map(|record| with_service(record)).collect::<io::Result<_>>()?;
        let id = wire::ids::to_hex(trace_id);
        let object = json!({ "traceId": id, "spans": spans, "logRecords": records });
        writeln!(out, "{}", screen::json(&json!({ "trace": object })))?;
    }
    for record in telemetry.records.iter().filter(|record| record.item.trace_id.is_empty()) {
        writeln!(out, "{}", screen::json(&json!({ "logRecord": with_service(record)? })))?;
    }
    for metric in &telemetry.metrics {
        writeln!(out, "{}", screen::json(&json!({ "metric": with_service(metric)? })))?;
    }
    out.flush()
}

fn with_service<T: Serialize>(scoped: &Scoped<T>) -> io::Result<Map<String, Value>> {
    let mut object = match serde_json::to_value(&scoped.item)? {
        Value::Object(object) => object,
        other => Map::from_iter([("value".to_owned(), other)]),
    };
    object.insert("service".to_owned(), scoped.service.as_str().into());
    Ok(object)
}

/// Writes a line that is no telemetry.
pub(super) fn line(line: &str, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        writeln!(out, "{}", screen::json(&json!({ "line": line })))?;
    } else {
        writeln!(out, "{line}")?;
    }
    out.flush()
}
