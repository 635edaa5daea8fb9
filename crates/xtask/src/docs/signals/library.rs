//! The Rust library's telemetry of invocations, for each trigger and each end.

use super::attributes::Attributes;
use anyhow::Context as _;
use exporter::testing::TestFunction;
use exporter::{TelemetryConfig, create_traced_handler};
use lambda_runtime::LambdaEvent;
use opentelemetry::Value;
use serde_json::{Value as Json, json};

pub(super) fn span_attributes() -> anyhow::Result<Attributes> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let function = TestFunction::with_variables(
            TelemetryConfig::builder(),
            [("AWS_LAMBDA_FUNCTION_VERSION", "7")],
        );
        let handler = create_traced_handler("f", function.completion_handler(), handle);
        for payload in payloads() {
            let mut event = function.event(payload);
            event.context.tenant_id = Some("blue".to_owned());
            event.context.xray_trace_id = Some(
                "Root=1-62e900b2-710d76f009d6e7785905449a;Parent=0efbd19962d95b05;Sampled=1"
                    .to_owned(),
            );
            // Some of them are to fail.
            drop(handler(event).await);
        }
        let mut attributes = Attributes::new();
        for attribute in function.take().spans.iter().flat_map(|span| &span.attributes) {
            let kind = match attribute.value {
                Value::String(_) => "string",
                Value::I64(_) => "int",
                Value::F64(_) => "double",
                Value::Bool(_) => "boolean",
                Value::Array(_) => "string[]",
                _ => "another",
            };
            attributes.insert(attribute.key.to_string(), kind);
        }
        attributes.get("faas.trigger").context("the library wrote no span of an invocation")?;
        Ok(attributes)
    })
}

async fn handle(event: LambdaEvent<Json>) -> Result<Json, String> {
    event.payload.get("answer").cloned().ok_or_else(|| "the event has no answer".to_owned())
}

fn payloads() -> Vec<Json> {
    let web = json!({
        "method": "BREW", "path": "/orders/7", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "u",
    });
    let message = |id: &str| json!({ "eventSource": "aws:sqs", "messageId": id, "eventSourceARN": "arn:aws:sqs:eu-west-1:1:orders" });
    let s3 = json!({ "bucket": { "name": "b" }, "object": { "key": "k" } });
    let time = "2026-09-21T14:13:20Z";
    vec![
        json!({
            "requestContext": { "http": web }, "routeKey": "ANY /orders/{id}", "rawPath": "/orders/7", "rawQueryString": "a=1",
            "headers": { "host": "shop.example.com:8443" }, "answer": { "statusCode": 503 },
        }),
        json!({ "Records": [message("1")], "answer": null }),
        json!({ "Records": [message("1"), message("2")], "answer": { "batchItemFailures": [{ "itemIdentifier": "2" }] } }),
        json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": time, "s3": s3 }] }),
        json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}, "time": time, "answer": null }),
        json!({ "httpMethod": "GET", "path": "/", "requestContext": { "elb": { "targetGroupArn": "a" } } }),
        json!({ "method": "GET", "path": "/", "requestContext": { "targetGroupArn": "a" } }),
        json!({ "info": { "parentTypeName": "Query", "fieldName": "order" } }),
        json!({ "records": { "clicks-0": [{ "topic": "clicks", "partition": 0, "offset": 1 }] } }),
        json!({ "actionGroup": "g", "function": "f", "sessionId": "s", "agent": { "id": "A1", "name": "clerk" } }),
    ]
}
