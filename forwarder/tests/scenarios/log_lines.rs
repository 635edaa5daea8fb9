//! What the lines of real writers become that are no OTLP: metrics in the embedded metric format, panics, texts of runtimes.

use crate::support::{Capture, default_options, forward_to, incoming, ledger, payload};
use lambda_otlp_forwarder::Report;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data, number_data_point};
use wire::{Logs, Metrics, SignalKind};

const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";

/// What becomes of these log events: the report, the log records and the metrics.
fn forwarded(messages: &[&str]) -> (Report, Vec<LogRecord>, Vec<Metric>) {
    let capture = Capture::default();
    let event = incoming(&payload("/aws/lambda/orders", messages));
    let report = forward_to(capture.clone(), event, default_options());
    assert_eq!(report.ledger().lost(), 0);
    let requests = capture.0.lock().unwrap();
    let (mut records, mut metrics) = (Vec::new(), Vec::new());
    for request in requests.iter() {
        match request.kind() {
            SignalKind::Logs => {
                let logs = request.decode::<Logs>().unwrap().unwrap().resource_logs.into_iter();
                let scopes = logs.flat_map(|resource| resource.scope_logs);
                records.extend(scopes.flat_map(|scope| scope.log_records));
            }
            SignalKind::Metrics => {
                let of = request.decode::<Metrics>().unwrap().unwrap().resource_metrics.into_iter();
                let scopes = of.flat_map(|resource| resource.scope_metrics);
                metrics.extend(scopes.flat_map(|scope| scope.metrics));
            }
            SignalKind::Traces => {}
        }
    }
    (report, records, metrics)
}

/// Severity and body of each record, and whether it names the invocation.
fn described(records: &[LogRecord]) -> Vec<String> {
    let text = |value: Option<&Value>| match value {
        Some(Value::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    };
    let names_the_invocation = |pair: &KeyValue| {
        let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
        pair.key == "faas.invocation_id" && text(value) == ID
    };
    records
        .iter()
        .map(|record| {
            let body = text(record.body.as_ref().and_then(|body| body.value.as_ref()));
            let marked =
                if record.attributes.iter().any(names_the_invocation) { " (ID)" } else { "" };
            format!("{}{marked} {body}", record.severity_text)
        })
        .collect()
}

/// Name and sum of each metric's points.
fn sums(metrics: &[Metric]) -> Vec<(&str, f64)> {
    let sum = |metric: &Metric| match metric.data.as_ref() {
        Some(Data::Sum(sum)) => sum
            .data_points
            .iter()
            .map(|point| match point.value {
                Some(number_data_point::Value::AsDouble(value)) => value,
                Some(number_data_point::Value::AsInt(value)) => value.to_string().parse().unwrap(),
                None => f64::NAN,
            })
            .sum(),
        Some(Data::Histogram(of)) => of.data_points.iter().filter_map(|point| point.sum).sum(),
        other => panic!("{other:?}"),
    };
    metrics.iter().map(|metric| (metric.name.as_str(), sum(metric))).collect()
}

#[test]
fn embedded_metrics_are_read_behind_a_prefix_and_what_is_no_figure_is_counted() {
    let document = |values: &str| {
        let metrics = r#"[{"Name":"orders","Unit":"Count"},{"Name":"latency","Unit":"Seconds"}]"#;
        format!(
            r#"{{"_aws":{{"CloudWatchMetrics":[{{"Namespace":"shop","Metrics":{metrics}}}]}},{values}}}"#
        )
    };
    let set = r#"{"Count":5,"Sum":25.5,"Min":1,"Max":10}"#;
    let counted = r#"{"Values":[1.5,2.5],"Counts":[3,1],"Count":4,"Sum":7,"Min":1,"Max":3}"#;
    let prefix = format!("2026-09-21T14:13:20.500Z\t{ID}\tWARN\t");
    let behind_prefix = format!("{prefix}{}\n", document(r#""orders":2,"message":"two orders""#));
    let (report, records, metrics) = forwarded(&[
        &behind_prefix,
        &document(&format!(r#""latency":{set},"message":"a""#)),
        &document(&format!(r#""latency":{counted},"message":"b""#)),
        &document(r#""orders":"three","latency":{"Count":1},"message":"c""#),
    ]);
    assert_eq!(described(&records), ["WARN (ID) two orders", "INFO a", "INFO b", "INFO c"]);
    assert_eq!(sums(&metrics), [("orders", 2.0), ("latency", 32.5)]);
    assert_eq!(report.dropped_figures, 2, "orders of a text, latency without a sum");
    assert_eq!(
        ledger(&report),
        "4 events, 0 consumed: 0 spans, 3 data points, 4 log records, 0 undecodable"
    );
}
