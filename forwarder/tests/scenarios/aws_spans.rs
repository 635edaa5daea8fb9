//! Conversion of `aws/spans`, the log group of X-Ray's spans: AWS's own spans, and spans from its OpenTelemetry distribution.
//!
//! The lines follow the documented format; AWS did not write them.

use crate::support::{
    Delivered, attribute, default_options, deliver_event, incoming, ledger, payload,
};
use expect_test::expect;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use std::fmt::Write as _;
use std::path::Path;

fn lines() -> Vec<String> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/platform/fixtures/aws-spans.jsonl");
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn forwarded(group: &str, lines: &[String]) -> Delivered {
    let messages: Vec<&str> = lines.iter().map(String::as_str).collect();
    deliver_event(incoming(&payload(group, &messages)), default_options())
}

/// Service, account, scope, name and parent of each span.
fn described(spans: &[ResourceSpans]) -> String {
    let mut described = String::new();
    for of_resource in spans {
        let resource = of_resource.resource.clone().unwrap_or_default().attributes;
        let [service, account] = ["service.name", "cloud.account.id"]
            .map(|key| attribute(&resource, key).unwrap_or("-"));
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
    let delivered = forwarded("aws/spans", &lines());
    expect!["4 events, 1 consumed: 3 spans, 0 data points, 0 log records, 0 undecodable"]
        .assert_eq(&ledger(&delivered.report));
    assert_eq!(delivered.report.ledger().consumed.spans_in_progress, 1);
    assert_eq!(delivered.logs, []);
    expect![[r"
        shop-api/prod - [] 1 POST /orders parent None
        payments 210987654321 [@opentelemetry/instrumentation-aws-lambda] 2 payments parent Some(1)
        payments - [] 3 DynamoDB parent Some(2)
    "]]
    .assert_eq(&described(&delivered.traces));
}

#[test]
fn an_orphan_subsegment_uses_the_log_group_as_service_name() {
    let spans = forwarded("aws/spans", &lines()[3..]).traces;
    expect!["spans - [] 3 DynamoDB parent Some(2)\n"].assert_eq(&described(&spans));
}

#[test]
fn xray_spans_from_other_log_groups_stay_log_records() {
    for group in ["/aws/lambda/orders", "aws/spans2", "/aws/spans", ""] {
        let Delivered { report, traces, logs, .. } = forwarded(group, &lines());
        assert_eq!((report.ledger().items.log_records, traces), (4, Vec::new()), "{group}");
        for of in logs {
            let attributes = of.resource.unwrap().attributes;
            assert_ne!(attribute(&attributes, "service.name"), Some("payments"));
        }
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
    let Delivered { report, traces, logs, .. } = forwarded("aws/spans", &all);
    expect!["9 events, 0 consumed: 2 spans, 0 data points, 7 log records, 0 undecodable"]
        .assert_eq(&ledger(&report));
    assert_eq!((traces.len(), logs.len()), (1, 1));
}
