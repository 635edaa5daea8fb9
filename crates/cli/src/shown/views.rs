//! Telemetry as text (traces as waterfalls with their log records, then log records without a trace, and metrics), and as JSON.

use super::Held;
use super::drawn::Redrawn;
use console::quantity::{plural, quantity};
use console::screen;
use console::waterfall::draw::{self, Detail, HEADING, short, time_of_day};
use console::waterfall::{InvocationReport, Log, Scoped, traces, waterfalls};
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
    /// Writes telemetry. `redrawn`: the traces that were drawn before.
    pub(super) fn write(
        &self,
        held: &Held,
        redrawn: &Redrawn,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let width = draw::terminal_width();
        let traced: BTreeSet<&[u8]> =
            held.spans.iter().map(|own| own.item.trace_id.as_slice()).collect();
        let is_loose = |own: &&Scoped<LogRecord>| !traced.contains(own.item.trace_id.as_slice());
        let mut loose: Vec<&Scoped<LogRecord>> = held.records.iter().filter(is_loose).collect();
        loose.sort_by_key(|own| Log::of(own).time);
        for own in loose {
            if let Some(report) = InvocationReport::of(&own.item) {
                let text = format!("{} {report}", time_of_day(report.time));
                draw::line(&text, width, out)?;
            } else {
                let log = Log::of(own);
                draw::log_record(&log, self.has_several_services, self.detail, width, out)?;
            }
        }
        for trace in waterfalls(&held.spans, &held.records) {
            if trace.rows.is_empty() {
                continue;
            }
            let name = label(&trace.invocations);
            let label = match redrawn.get(&trace.trace_id) {
                Some(new) => format!("{name}, again with {}", plural(*new, "later span")),
                None => name,
            };
            draw::waterfall(&trace, &label, self.detail, width, out)?;
        }
        if !held.metrics.is_empty() {
            writeln!(out, "\n{HEADING}Metrics{HEADING:#}")?;
        }
        for Scoped { service, item: metric, .. } in &held.metrics {
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
    let total = |count: u64, sum: Option<f64>| {
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        sum.map_or_else(|| times.clone(), |sum| format!("{times}, sum {}", quantity(sum, unit)))
    };
    match &metric.data {
        Some(Data::Gauge(data)) => data.data_points.iter().map(|own| point(&own.value)).collect(),
        Some(Data::Sum(data)) => data.data_points.iter().map(|own| point(&own.value)).collect(),
        Some(Data::Histogram(data)) => {
            data.data_points.iter().map(|own| total(own.count, own.sum)).collect()
        }
        Some(Data::ExponentialHistogram(data)) => {
            data.data_points.iter().map(|own| total(own.count, own.sum)).collect()
        }
        Some(Data::Summary(data)) => {
            data.data_points.iter().map(|own| total(own.count, Some(own.sum))).collect()
        }
        None => Vec::new(),
    }
}

/// Writes telemetry as JSON objects, one per line: `{"trace": …}`, `{"logRecord": …}` and `{"metric": …}`, in the form of
/// OTLP/JSON with an additional `service`.
pub(super) fn json(held: &Held, out: &mut dyn Write) -> io::Result<()> {
    for (trace_id, trace) in traces(&held.spans, &held.records) {
        let mut spans = Vec::new();
        for own in &trace.spans {
            let mut span = with_service(own)?;
            span.insert("scope".to_owned(), own.scope.as_str().into());
            spans.push(span);
        }
        let records =
            trace.records.iter().map(|own| with_service(own)).collect::<io::Result<Vec<_>>>()?;
        let id = wire::ids::to_hex(trace_id);
        let object = json!({ "traceId": id, "spans": spans, "logRecords": records });
        writeln!(out, "{}", screen::json(&json!({ "trace": object })))?;
    }
    for own in held.records.iter().filter(|own| own.item.trace_id.is_empty()) {
        writeln!(out, "{}", screen::json(&json!({ "logRecord": with_service(own)? })))?;
    }
    for own in &held.metrics {
        writeln!(out, "{}", screen::json(&json!({ "metric": with_service(own)? })))?;
    }
    out.flush()
}

fn with_service<T: Serialize>(own: &Scoped<T>) -> io::Result<Map<String, Value>> {
    let mut object = match serde_json::to_value(&own.item)? {
        Value::Object(object) => object,
        other => Map::from_iter([("value".to_owned(), other)]),
    };
    object.insert("service".to_owned(), own.service.as_str().into());
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
