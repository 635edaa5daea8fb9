//! Conversion of `aws/spans`, the log group of X-Ray's spans: AWS's own spans, and spans from its OpenTelemetry distribution.
//!
//! The lines follow the documented format; AWS did not write them.

use crate::support::{Capture, default_options, forward_to, incoming, ledger, payload};
use expect_test::expect;
use lambda_otlp_forwarder::Report;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use std::fmt::Write as _;
use std::path::Path;
use wire::{Logs, SignalKind, Traces};

fn lines() -> Vec<String> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/platform/fixtures/aws-spans.jsonl");
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// Forwards log events of a log group. Returns the report, the spans and the log records.
fn forwarded(group: &str, lines: &[String]) -> (Report, Vec<ResourceSpans>, Vec<ResourceLogs>) {
    let capture = Capture::default();
    let messages: Vec<&str> = lines.iter().map(String::as_str).collect();
    let report =
        forward_to(capture.clone(), incoming(&payload(group, &messages)), default_options());
    assert_eq!(report.ledger().lost(), 0);
    let (mut spans, mut records) = (Vec::new(), Vec::new());
    for request in capture.0.lock().unwrap().iter() {
        match request.kind() {
            SignalKind::Traces => {
                spans.extend(request.decode::<Traces>().unwrap().unwrap().resource_spans);
            }
            SignalKind::Logs => {
                records.extend(request.decode::<Logs>().unwrap().unwrap().resource_logs);
            }
            SignalKind::Metrics => panic!("no line has a metric"),
        }
    }
    (report, spans, records)
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|found| found.value.clone()) {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => text,
        _ => "-".to_owned(),
    }
}

/// Service, account, scope, name and parent of each span.
fn described(spans: &[ResourceSpans]) -> String {
    let mut described = String::new();
    for of_resource in spans {
        let resource = of_resource.resource.clone().unwrap_or_default().attributes;
        let [service, account] =
            ["service.name", "cloud.account.id"].map(|key| text(&resource, key));
        for scope_spans in &of_resource.scope_spans {
            let scope = scope_spans.scope.clone().unwrap_or_default().name;
            for span in &scope_spans.spans {
                let parent = span.parent_span_id.last();
                let id = span.span_id.last().unwrap();
                let name = &span.name;
                writeln!(described, "{service} {account} [{scope}] {id} {name} parent {parent:?}")
                    .unwrap();
            }
        }
    }
    described
}

#[test]
fn aws_spans_are_converted_with_the_resource_they_name() {
    let (report, spans, records) = forwarded("aws/spans", &lines());
    expect!["4 events, 1 consumed: 3 spans, 0 data points, 0 log records, 0 undecodable"]
        .assert_eq(&ledger(&report));
    assert_eq!(report.ledger().consumed.spans_in_progress, 1);
    assert_eq!(records, []);
    expect![[r"
        shop-api/prod - [] 1 POST /orders parent None
        payments 210987654321 [@opentelemetry/instrumentation-aws-lambda] 2 payments parent Some(1)
        payments - [] 3 DynamoDB parent Some(2)
    "]]
    .assert_eq(&described(&spans));
}

#[test]
fn an_orphan_subsegment_uses_the_log_group_as_service_name() {
    let (_, spans, _) = forwarded("aws/spans", &lines()[3..]);
    expect!["spans - [] 3 DynamoDB parent Some(2)\n"].assert_eq(&described(&spans));
}

#[test]
fn xray_spans_from_other_log_groups_stay_log_records() {
    for group in ["/aws/lambda/orders", "aws/spans2", "/aws/spans", ""] {
        let (report, spans, records) = forwarded(group, &lines());
        assert_eq!((report.ledger().items.log_records, spans), (4, Vec::new()), "{group}");
        let services: Vec<_> = records
            .iter()
            .map(|logs| text(&logs.resource.clone().unwrap().attributes, "service.name"))
            .collect();
        assert!(!services.iter().any(|service| service == "payments"), "{services:?}");
    }
}

#[test]
fn invalid_xray_lines_become_log_records_beside_valid_spans() {
    let lines = lines();
    let [good, .., _] = lines.as_slice() else { panic!() };
    let mut all = vec![
        "not JSON".to_owned(),
        "{}".to_owned(),
        good.replace("a1b2c3d4e5f60001", "short"),
        good.replace("1789999990000000000", "\"soon\""),
        good.replace(r#""endTimeUnixNano":1789999990480000000,"durationNano":480000000,"#, ""),
        format!("{good},"),
        "[".repeat(100_000),
        // An OTLP line in an attribute stays text.
        good.replace("blue", r#"{\"__otel_otlp_stdout\":\"1\",\"payload\":{}}"#),
    ];
    all.push(good.clone());
    let (report, spans, records) = forwarded("aws/spans", &all);
    expect!["9 events, 0 consumed: 2 spans, 0 data points, 7 log records, 0 undecodable"]
        .assert_eq(&ledger(&report));
    assert_eq!((spans.len(), records.len()), (1, 1));
}
