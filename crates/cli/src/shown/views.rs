//! Telemetry as text (traces as waterfalls with their log records, then log records without a trace, and metrics), and as JSON.

use super::View;
use super::{Held, HeldSpan, Named};
use console::quantity::quantity;
use console::waterfall::draw::{self, HEADING, on_one_line, short, time_of_day};
use console::waterfall::{Log, RecordOf};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::time::Duration;

const LONGEST_BODY: usize = 1000;
const LONGEST_NAME: usize = 64;

pub(crate) struct Text<'a> {
    pub(crate) out: &'a mut dyn Write,
}

impl View for Text<'_> {
    fn patience(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn show(&mut self, held: &Held) -> io::Result<()> {
        for trace in held.waterfalls() {
            draw::waterfall(&trace, draw::terminal_width(), self.out)?;
        }
        for line in records(held) {
            writeln!(self.out, "{line}")?;
        }
        if !held.metrics.is_empty() {
            writeln!(self.out, "\n{HEADING}Metrics{HEADING:#}")?;
        }
        for line in metrics(held) {
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }
}

/// Formats log records without a trace, one per line.
pub(crate) fn records(held: &Held) -> impl Iterator<Item = String> {
    held.records.iter().filter(|(_, own)| own.trace_id.is_empty()).map(|(service, record)| {
        let log = Log::of(RecordOf { service, record }, &Named);
        let (service, level) = (short(service, LONGEST_NAME), short(&log.level, LONGEST_NAME));
        let time = time_of_day(log.time);
        let body =
            if log.is_serious { on_one_line(&log.body) } else { short(&log.body, LONGEST_BODY) };
        format!("  {time:<12} {service:<8} {level:<6} {body}")
    })
}

/// Formats data points, one per line.
pub(crate) fn metrics(held: &Held) -> impl Iterator<Item = String> {
    held.metrics.iter().flat_map(|(service, metric)| {
        let [service, name, unit] =
            [service, &metric.name, &metric.unit].map(|text| short(text, LONGEST_NAME));
        let line = move |value| format!("  {service:<8} {name:<40} {value}");
        values(metric, &unit).into_iter().map(line)
    })
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

/// Telemetry as JSON objects, one per line: `{"trace": …}`, `{"logRecord": …}`, `{"metric": …}` or `{"line": …}`, in
/// the form of OTLP/JSON with an additional `service`.
pub(crate) struct Json<'a> {
    pub(crate) out: &'a mut dyn Write,
}

impl View for Json<'_> {
    fn show(&mut self, held: &Held) -> io::Result<()> {
        for (trace_id, trace) in held.traces() {
            let spans = trace.spans.iter().map(|HeldSpan { service, scope, span }| {
                let mut span = of_service(service, span)?;
                span.insert("scope".to_owned(), scope.as_str().into());
                Ok(Value::Object(span))
            });
            let spans = spans.collect::<io::Result<Vec<_>>>()?;
            let records = trace.records.iter().map(|(service, record)| of_service(service, record));
            let records = records.collect::<io::Result<Vec<_>>>()?;
            let trace_id = wire::ids::to_hex(trace_id);
            let trace = json!({ "traceId": trace_id, "spans": spans, "logRecords": records });
            self.write("trace", trace)?;
        }
        for (service, record) in held.records.iter().filter(|(_, own)| own.trace_id.is_empty()) {
            self.write("logRecord", of_service(service, record)?.into())?;
        }
        for (service, metric) in &held.metrics {
            self.write("metric", of_service(service, metric)?.into())?;
        }
        self.out.flush()
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        self.write("line", line.into())?;
        self.out.flush()
    }
}

impl Json<'_> {
    fn write(&mut self, kind: &str, value: Value) -> io::Result<()> {
        let object: Map<String, Value> = [(kind.to_owned(), value)].into_iter().collect();
        serde_json::to_writer(&mut *self.out, &object)?;
        self.out.write_all(b"\n")
    }
}

fn of_service(service: &str, item: &impl Serialize) -> io::Result<Map<String, Value>> {
    let mut object = match serde_json::to_value(item)? {
        Value::Object(object) => object,
        other => Map::from_iter([("value".to_owned(), other)]),
    };
    object.insert("service".to_owned(), service.into());
    Ok(object)
}
