//! Runs the Rust library's examples as functions of a local Lambda, and checks the telemetry that they write.

use expect_test::{Expect, expect};
use lambda_otlp_tests::workspace;
use local_lambda::{FunctionSpec, Lambda, binaries};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;
use test_support::Logged;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn each_example_writes_its_documented_telemetry() {
    let cases: Vec<Case> = of_events().into_iter().chain(of_signals()).collect();
    // No package is named, so the examples are those that `cargo test` has compiled.
    let arguments: Vec<&str> = cases.iter().flat_map(|case| ["--example", case.example]).collect();
    let built = binaries::build_with(&workspace(), &arguments).unwrap();
    let lambda = Lambda::start().await.unwrap();
    for case in cases {
        let Case { example, payload, answer, written: expected } = case;
        let program = binaries::find(&built, example).unwrap();
        let spec = FunctionSpec::new(example, program).timeout(Duration::from_mins(1));
        lambda.create_function(spec).unwrap();
        let invocation = lambda.invoke(example, payload.to_string()).await.unwrap();
        let response = invocation.response().unwrap_or_else(|| panic!("{:?}", invocation.result));
        let answered: Value = serde_json::from_slice(response).unwrap();
        for (key, value) in answer.as_object().into_iter().flatten() {
            assert_eq!(answered.get(key), Some(value), "{example} answered {answered}");
        }
        lambda.recycle(example).await.unwrap();
        expected.assert_eq(&written(&lambda, example));
    }
    lambda.shut_down().await;
}

/// An example with its event, the relevant part of its response, and its telemetry.
struct Case {
    example: &'static str,
    payload: Value,
    answer: Value,
    written: Expect,
}

fn of_events() -> Vec<Case> {
    vec![
        Case {
            example: "handler",
            payload: json!({ "id": 7 }),
            answer: json!({ "statusCode": 201 }),
            written: expect![[r#"
        orders
          store
        record "order stored" id
    "#]],
        },
        Case {
            example: "axum",
            payload: api_gateway("/orders/7"),
            answer: json!({ "statusCode": 200 }),
            written: expect![[r#"
            GET /orders/{id}, below its caller
            record "order found" id
        "#]],
        },
        Case {
            example: "sqs_batch",
            payload: batch(),
            answer: json!({ "batchItemFailures": [{ "itemIdentifier": "two" }] }),
            written: expect![[r#"
        orders, error "1 of the batch's messages failed; Lambda delivers them again"
          orders process, error "1 of the batch's messages failed; Lambda delivers them again", 2 links
            store order, 1 links
            store order, error "invalid digit found in string", 1 links
        record "order stored" id
        record "invalid digit found in string" error
    "#]],
        },
        Case {
            example: "extractor",
            payload: json!({ "id": 7, "context": { "traceparent": PARENT } }),
            answer: json!(7),
            written: expect![[r"
        store order, below its caller
    "]],
        },
    ]
}

fn of_signals() -> Vec<Case> {
    vec![
        Case {
            example: "processors",
            payload: json!({}),
            answer: json!({}),
            written: expect![[r"
        orders, with the shop's name
          store, with the shop's name
    "]],
        },
        Case {
            example: "signals",
            payload: json!({ "value": 7.5 }),
            answer: json!({ "statusCode": 201 }),
            written: expect![[r#"
        orders
        record "few left" shelf deployment.environment.name
        record "order approved" deployment.environment.name
        metric shop.orders {order}
        metric shop.order.value EUR [5.0, 10.0, 50.0, 100.0]
    "#]],
        },
    ]
}

/// An HTTP API's event for the route `$default` (API Gateway Developer Guide, "Create AWS Lambda proxy integrations for
/// HTTP APIs").
fn api_gateway(path: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": { "host": "shop.example.com", "traceparent": PARENT },
        "requestContext": {
            "accountId": "123456789012", "apiId": "api", "domainName": "shop.example.com", "stage": "$default",
            "requestId": "id", "routeKey": "$default", "time": "21/Nov/2026:12:00:00 +0000", "timeEpoch": 1_795_262_400_000_i64,
            "http": { "method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test" },
        },
        "isBase64Encoded": false,
    })
}

/// Two messages, one of which is not an order.
fn batch() -> Value {
    let message = |id: &str, body: &str| {
        json!({
            "messageId": id, "receiptHandle": id, "body": body, "attributes": {},
            "messageAttributes": { "traceparent": { "dataType": "String", "stringValue": PARENT } },
            "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders",
            "awsRegion": "eu-west-1",
        })
    };
    json!({ "Records": [message("one", "7"), message("two", "seven")] })
}

/// Lists the telemetry in a function's log: spans, indented below their parents, then records and metrics.
fn written(lambda: &Lambda, function: &str) -> String {
    let logged = Logged::by(lambda, function);
    let spans: Vec<Span> = logged.spans.into_iter().map(|(_, span)| span).collect();
    let mut others = Vec::new();
    for record in logged.records {
        let body = serde_json::to_value(record.body).unwrap();
        let text = body.get("stringValue").and_then(Value::as_str).unwrap_or_default();
        let keys: Vec<&str> = record.attributes.iter().map(|own| own.key.as_str()).collect();
        let of = if record.span_id.is_empty() { " of no span" } else { "" };
        others.push(format!("record {text:?} {}{of}", keys.join(" ")));
    }
    for metric in logged.metrics {
        let bounds = match &metric.data {
            Some(Data::Histogram(data)) => {
                let bounds = data.data_points.iter().map(|point| &point.explicit_bounds);
                bounds.fold(String::new(), |text, bounds| format!("{text} {bounds:?}"))
            }
            _ => String::new(),
        };
        others.push(format!("metric {} {}{bounds}", metric.name, metric.unit));
    }
    let mut shown = String::new();
    let is_root = |span: &&Span| spans.iter().all(|other| other.span_id != span.parent_span_id);
    let mut open: Vec<(usize, &Span)> =
        spans.iter().filter(is_root).map(|root| (0, root)).collect();
    open.reverse();
    while let Some((depth, span)) = open.pop() {
        writeln!(shown, "{}{}", "  ".repeat(depth), described(span)).unwrap();
        let children = spans.iter().filter(|child| child.parent_span_id == span.span_id);
        open.extend(children.rev().map(|child| (depth + 1, child)));
    }
    for line in &others {
        writeln!(shown, "{}", line.trim_end()).unwrap();
    }
    shown
}

/// Describes a span: name, status, number of links, and its caller.
fn described(span: &Span) -> String {
    let mut text = span.name.clone();
    let status = span.status.clone().unwrap_or_default();
    if status.code == 2 {
        write!(text, ", error {:?}", status.message).unwrap();
    }
    if !span.links.is_empty() {
        write!(text, ", {} links", span.links.len()).unwrap();
    }
    if span.parent_span_id == [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31] {
        text.push_str(", below its caller");
    }
    if span.attributes.iter().any(|attribute| attribute.key == "shop.name") {
        text.push_str(", with the shop's name");
    }
    text
}
