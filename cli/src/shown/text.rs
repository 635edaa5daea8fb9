//! Telemetry as text: traces as waterfalls with their log records, then log records of no trace, and metrics.

use super::View;
use super::choice::Choice;
use super::held::{Held, Named};
use crate::waterfall::draw::{self, HEADING, short};
use crate::waterfall::{Log, RecordOf};
use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use std::io::{self, Write};

/// So much of a log record is shown.
const LONGEST_BODY: usize = 100;
/// So much of one that says why something failed, and is perhaps all that there is.
const LONGEST_ERROR: usize = 1000;
/// So much of a name.
const LONGEST_NAME: usize = 64;

pub(crate) struct Text<'a> {
    pub(crate) out: &'a mut dyn Write,
    pub(crate) choice: Choice,
    /// Lines that are no telemetry are left out.
    pub(crate) telemetry_only: bool,
}

impl View for Text<'_> {
    fn show(&mut self, held: Held) -> io::Result<()> {
        let held = self.choice.of(held);
        for trace in held.waterfalls() {
            draw::waterfall(&trace, self.out)?;
        }
        for line in records(&held) {
            writeln!(self.out, "{line}")?;
        }
        if !held.metrics.is_empty() {
            writeln!(self.out, "\n{HEADING}Metrics{HEADING:#}")?;
        }
        for line in metrics(&held) {
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        if self.telemetry_only {
            return Ok(());
        }
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }
}

/// Log records without a trace, a line each.
pub(crate) fn records(held: &Held) -> impl Iterator<Item = String> {
    held.records.iter().filter(|(_, own)| own.trace_id.is_empty()).map(|(service, record)| {
        let Log { level, body, .. } = Log::of(RecordOf { service, record }, &Named);
        let (service, level) = (short(service, LONGEST_NAME), short(&level, LONGEST_NAME));
        let is_error = record.severity_number >= SeverityNumber::Error as i32;
        let longest = if is_error { LONGEST_ERROR } else { LONGEST_BODY };
        format!("  {service:<8} {level:<6} {}", short(&body, longest))
    })
}

/// Data points, a line each.
pub(crate) fn metrics(held: &Held) -> impl Iterator<Item = String> {
    held.metrics.iter().flat_map(|(service, metric)| {
        let [service, name, unit] =
            [service, &metric.name, &metric.unit].map(|text| short(text, LONGEST_NAME));
        let line = move |value| format!("  {service:<8} {name:<40} {value} {unit}");
        values(metric).into_iter().map(line)
    })
}

/// The value of each data point.
fn values(metric: &Metric) -> Vec<String> {
    let number = |value: &Option<Value>| match value {
        Some(Value::AsInt(value)) => value.to_string(),
        Some(Value::AsDouble(value)) => rounded(*value),
        None => "no value".to_owned(),
    };
    let total = |count: u64, sum: Option<f64>| match sum {
        Some(sum) => format!("{count} times, sum {}", rounded(sum)),
        None => format!("{count} times"),
    };
    match &metric.data {
        Some(Data::Gauge(data)) => data.data_points.iter().map(|own| number(&own.value)).collect(),
        Some(Data::Sum(data)) => data.data_points.iter().map(|own| number(&own.value)).collect(),
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

/// Without the digits that only a computer has to tell: 0.151 and not 0.15100000000000002.
fn rounded(value: f64) -> String {
    const DECIMALS: f64 = 1e6;
    let rounded = (value * DECIMALS).round() / DECIMALS;
    if rounded == 0.0 { value.to_string() } else { rounded.to_string() }
}
