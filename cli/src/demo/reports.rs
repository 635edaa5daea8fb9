//! What the log group holds beside OTLP lines, and what became of it in the backend.

use super::accounting::{Item, What};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use simulator::LogEvent;
use simulator::sink::Sink;
use std::collections::BTreeMap;

/// Each line that is owed a log record, by id, and each metric that is owed for the reports, with
/// its total. Read from the log group with string comparisons, not with the code under test.
pub(super) fn made(log_events: &[LogEvent]) -> Vec<Item> {
    let mut made = Vec::new();
    let (mut reports, mut inits, mut timeouts) = (0u32, 0u32, 0u32);
    for event in log_events {
        let line = event.message.as_str();
        let consumed = ["START RequestId", "END RequestId", "INIT_START"];
        if line.contains("__otel_otlp_stdout")
            || consumed.iter().any(|start| line.starts_with(start))
        {
            continue;
        }
        made.push((What::LogLine, event.id.clone()));
        if line.starts_with("REPORT RequestId") {
            reports += 1;
            inits += u32::from(line.contains("\tInit Duration:"));
            timeouts += u32::from(line.contains("Status: timeout"));
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
        // A gauge: one point for each delivery that holds a report, and here there is one.
        ("aws.lambda.memory_limit", 1),
    ];
    made.extend(owed.map(|(name, total)| (What::ReportMetric, format!("{name} {total}"))));
    made
}

/// The ids of the lines, and the metrics of the reports with their totals, that the backend has.
pub(super) fn stored(sink: &Sink) -> Vec<Item> {
    let lines = sink.log_records().into_iter().filter_map(|record| {
        let uid = record.item.attributes.into_iter().find(|a| a.key == "log.record.uid")?;
        match uid.value?.value? {
            Value::StringValue(id) => Some((What::LogLine, id)),
            _ => None,
        }
    });
    let mut totals: BTreeMap<String, f64> = BTreeMap::new();
    for metric in sink.metrics() {
        if metric.scope.name == "lambda-otlp/platform" {
            *totals.entry(metric.item.name).or_default() += total(metric.item.data);
        }
    }
    let metrics =
        totals.into_iter().map(|(name, total)| (What::ReportMetric, format!("{name} {total}")));
    lines.chain(metrics).collect()
}

/// The value of a sum, the count of a histogram, the number of points of a gauge.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn total(data: Option<Data>) -> f64 {
    match data {
        Some(Data::Sum(sum)) => sum
            .data_points
            .into_iter()
            .map(|point| match point.value {
                Some(number_data_point::Value::AsInt(value)) => value as f64,
                Some(number_data_point::Value::AsDouble(value)) => value,
                None => 0.0,
            })
            .sum(),
        Some(Data::Histogram(histogram)) => {
            histogram.data_points.iter().map(|point| point.count as f64).sum()
        }
        Some(Data::Gauge(gauge)) => gauge.data_points.len() as f64,
        _ => 0.0,
    }
}
