//! Test cases of other projects. They are read in place, and skipped if they are missing.

mod logs;
mod otlp_json;
mod platform_events;
mod reports;

use crate::support::{Capture, config, forward_to};
use lambda_otlp_forwarder::{Config, Event, Options, Report};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use wire::{Logs, Metrics, Traces};

type Json = serde_json::Value;

/// Runs `check` on the selected cases of a file, expects this number of cases, and expects no failure.
fn check_all(
    name: &str,
    wanted: impl Fn(&Json) -> bool,
    expected: usize,
    check: impl Fn(&Json) -> Result<(), String>,
) {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut files = above.map(|folder| folder.join("shared/samples/peers/foreign").join(name));
    let Some(file) = files.find(|file| file.is_file()) else {
        return println!("skipped: {name} is not here");
    };
    let text = std::fs::read_to_string(file).unwrap();
    let cases: Vec<Json> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|case| wanted(case))
        .collect();
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case["case"], check(case).err()?)))
        .collect();
    println!("{name}: {} of {}", cases.len() - failed.len(), cases.len());
    assert_eq!((cases.len(), failed), (expected, Vec::new()));
}

/// Compares two values; the error shows the difference.
fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    actual: &T,
    expected: &T,
) -> Result<(), String> {
    if actual == expected {
        return Ok(());
    }
    Err(format!("{what}: {actual:?} where {expected:?} is expected"))
}

struct Forwarded {
    report: Report,
    records: Vec<(Resource, LogRecord)>,
    /// The sum of each metric's values, or the last value of a gauge.
    metrics: BTreeMap<String, f64>,
    spans: Vec<Span>,
}

fn forwarded(event: Event, variables: &[(&str, &str)]) -> Forwarded {
    let mut config = config();
    if !variables.is_empty() {
        let endpoint = ("LAMBDA_OTLP_ENDPOINT", "http://127.0.0.1:9/api/default");
        let all: HashMap<String, String> = [endpoint]
            .iter()
            .chain(variables)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let old_records = config.old_records;
        config = Config { old_records, ..Config::from_source(&all).0.unwrap() };
    }
    let capture = Capture::default();
    let report = forward_to(capture.clone(), event, Options::of(&config));
    assert_eq!(report.ledger().lost(), 0);
    let mut forwarded =
        Forwarded { report, records: Vec::new(), metrics: BTreeMap::new(), spans: Vec::new() };
    for request in capture.0.lock().unwrap().iter() {
        if let Some(logs) = request.decode::<Logs>() {
            for of in logs.unwrap().resource_logs {
                let resource = of.resource.unwrap_or_default();
                let records = of.scope_logs.into_iter().flat_map(|scope| scope.log_records);
                forwarded.records.extend(records.map(|record| (resource.clone(), record)));
            }
        } else if let Some(metrics) = request.decode::<Metrics>() {
            let of = metrics.unwrap().resource_metrics.into_iter();
            let scopes = of.flat_map(|of| of.scope_metrics);
            for metric in scopes.flat_map(|scope| scope.metrics) {
                let sum = sum(metric.data.as_ref().unwrap());
                *forwarded.metrics.entry(metric.name).or_default() += sum;
            }
        } else if let Some(traces) = request.decode::<Traces>() {
            let scopes = traces.unwrap().resource_spans.into_iter().flat_map(|of| of.scope_spans);
            forwarded.spans.extend(scopes.flat_map(|scope| scope.spans));
        }
    }
    forwarded
}

fn sum(data: &Data) -> f64 {
    let number = |value: &Option<number_data_point::Value>| match value {
        Some(number_data_point::Value::AsDouble(value)) => *value,
        Some(number_data_point::Value::AsInt(value)) => value.to_string().parse().unwrap(),
        None => f64::NAN,
    };
    match data {
        Data::Sum(sum) => sum.data_points.iter().map(|point| number(&point.value)).sum(),
        Data::Gauge(gauge) => {
            gauge.data_points.last().map_or(f64::NAN, |point| number(&point.value))
        }
        Data::Histogram(of) => of.data_points.iter().filter_map(|point| point.sum).sum(),
        other => panic!("{other:?}"),
    }
}

fn delivery(lines: &Json) -> Json {
    let events: Vec<Json> = lines
        .as_array()
        .unwrap()
        .iter()
        .map(|line| json!({"id": "1", "timestamp": line[0], "message": line[1]}))
        .collect();
    json!({"messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "/aws/lambda/orders",
        "logStream": "2026/09/21/[$LATEST]abc", "subscriptionFilters": ["f"], "logEvents": events})
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<Json> {
    attributes.iter().find(|pair| pair.key == key)?.value.as_ref().map(as_json)
}

fn as_json(value: &AnyValue) -> Json {
    match value.value.as_ref() {
        None => Json::Null,
        Some(Value::StringValue(text)) => json!(text),
        Some(Value::BoolValue(value)) => json!(value),
        Some(Value::IntValue(value)) => json!(value),
        Some(Value::DoubleValue(value)) => json!(value),
        Some(Value::ArrayValue(array)) => array.values.iter().map(as_json).collect(),
        Some(Value::KvlistValue(list)) => list
            .values
            .iter()
            .map(|pair| (pair.key.clone(), pair.value.as_ref().map_or(Json::Null, as_json)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Some(other) => json!(format!("{other:?}")),
    }
}
