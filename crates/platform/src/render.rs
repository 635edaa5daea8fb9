//! Prints OTLP for tests: one line a log record or data point.

use std::fmt::Write as _;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data, number_data_point};

pub(crate) fn value(value: &AnyValue) -> String {
    match value.value.as_ref() {
        None => String::from("none"),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => format!("{value:?}"),
        Some(Value::ArrayValue(array)) => {
            let values: Vec<_> = array.values.iter().map(self::value).collect();
            format!("[{}]", values.join(","))
        }
        Some(Value::KvlistValue(list)) => format!("{{{}}}", attributes(&list.values)),
        Some(other) => format!("{other:?}"),
    }
}

pub(crate) fn attributes(attributes: &[KeyValue]) -> String {
    let pair = |pair: &KeyValue| format!("{}={}", pair.key, value(pair.value.as_ref().unwrap()));
    attributes.iter().map(pair).collect::<Vec<_>>().join(" ")
}

/// Severity, the body's first characters, attributes without the event's id.
pub(crate) fn record(record: &LogRecord) -> String {
    let body = value(record.body.as_ref().unwrap());
    let body: String = body.lines().next().unwrap_or("").chars().take(40).collect();
    let others = record.attributes.iter().filter(|pair| pair.key != crate::names::LOG_RECORD_UID);
    let others: Vec<_> = others.cloned().collect();
    let line = format!("{} | {body} | {}", record.severity_text, attributes(&others));
    line.trim_end().to_owned()
}

/// One line a data point: name, unit, value, attributes.
pub(crate) fn points(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for metric in metrics {
        let mut line = |point: String, pairs: &[KeyValue]| {
            let line = format!("{} [{}] {point} {}", metric.name, metric.unit, attributes(pairs));
            writeln!(text, "{}", line.trim_end()).unwrap();
        };
        match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => {
                assert!(sum.is_monotonic);
                assert_eq!(sum.aggregation_temporality, 1, "delta");
                for point in &sum.data_points {
                    line(number(point.value.as_ref()), &point.attributes);
                }
            }
            Data::Gauge(gauge) => {
                for point in &gauge.data_points {
                    line(number(point.value.as_ref()), &point.attributes);
                }
            }
            Data::Histogram(histogram) => {
                assert_eq!(histogram.aggregation_temporality, 1, "delta");
                for point in &histogram.data_points {
                    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                    assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
                    let (sum, min, max) =
                        (point.sum.unwrap(), point.min.unwrap(), point.max.unwrap());
                    let point_text =
                        format!("n={} sum={sum:.5} min={min:.5} max={max:.5}", point.count);
                    line(point_text, &point.attributes);
                }
            }
            _ => panic!("another kind of metric"),
        }
    }
    text
}

fn number(value: Option<&number_data_point::Value>) -> String {
    match value.unwrap() {
        number_data_point::Value::AsInt(value) => value.to_string(),
        number_data_point::Value::AsDouble(value) => value.to_string(),
    }
}
