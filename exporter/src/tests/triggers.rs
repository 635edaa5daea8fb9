//! The attributes of each source of events.

use super::driver::{Function, attribute, event, shown, status, succeed};
use crate::SpanAttributes;
use crate::handler::trigger::SpanAttributesExtractor;
use aws_lambda_events::apigw::{
    ApiGatewayProxyRequest, ApiGatewayV2httpRequest, ApiGatewayWebsocketProxyRequest,
};
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::common::v1::{self as proto, any_value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::UNIX_EPOCH;
use wire::ids::to_hex;

pub(super) const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
pub(super) const XRAY: &str =
    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

/// The types of `aws_lambda_events` for events in `tests/triggers`, and their features; the others exist only as plain JSON.
macro_rules! types {
    ($($feature:literal $event:path: $($name:literal),+;)*) => {
        const TYPED: &[&str] = &[$($($name),+),*];

        fn typed(name: &str, event: &Value) -> Option<SpanAttributes> {
            Some(match name {
                "http-api" | "http-api-default-route" => {
                    extracted::<ApiGatewayV2httpRequest>(event)
                }
                "rest-api" => extracted::<ApiGatewayProxyRequest>(event),
                "websocket" => extracted::<ApiGatewayWebsocketProxyRequest>(event),
                $(
                    #[cfg(feature = $feature)]
                    $($name)|+ => extracted::<$event>(event),
                )*
                _ => return None,
            })
        }
    };
}

types! {
    "alb" aws_lambda_events::alb::AlbTargetGroupRequest: "alb", "alb-multi-value";
    "dynamodb" aws_lambda_events::dynamodb::Event: "dynamodb", "dynamodb-mixed";
    "eventbridge" aws_lambda_events::eventbridge::EventBridgeEvent: "eventbridge", "schedule";
    "kafka" aws_lambda_events::kafka::KafkaEvent: "kafka";
    "kafka" aws_lambda_events::kafka::KafkaRecord: "message-kafka";
    "kinesis" aws_lambda_events::kinesis::KinesisEvent: "kinesis";
    "kinesis" aws_lambda_events::kinesis::KinesisEventRecord: "message-kinesis";
    "s3" aws_lambda_events::s3::S3Event: "s3";
    "sns" aws_lambda_events::sns::SnsEvent: "sns", "sns-of-eventbridge";
    "sns" aws_lambda_events::sns::SnsRecord: "message-sns";
    "sqs" aws_lambda_events::sqs::SqsEvent: "sqs-batch";
    "sqs" aws_lambda_events::sqs::SqsMessage: "message-sqs", "message-sqs-xray";
}

/// Trigger and attributes, a parent if there is one, the linked spans, and the time of the request or message.
fn described(extracted: &SpanAttributes) -> String {
    let attributes: Vec<proto::KeyValue> = extracted.attributes.iter().map(Into::into).collect();
    let mut text = format!("{}\n{}", extracted.trigger, shown(&attributes));
    if let Some(name) = &extracted.span_name {
        text.insert_str(0, &format!("{name}: "));
    }
    let parent = |header| extracted.carrier.as_ref()?.get(header);
    if let Some(parent) = parent("traceparent").or_else(|| parent("x-amzn-trace-id")) {
        writeln!(text, "parent {parent}").unwrap();
    }
    for link in &extracted.links {
        let context = &link.span_context;
        write!(text, "link {} {}", context.trace_id(), context.span_id()).unwrap();
        for KeyValue { key, value, .. } in &link.attributes {
            write!(text, " {key}={value}").unwrap();
        }
        text.push('\n');
    }
    if let Some(received_at) = extracted.received_at {
        let nanos = received_at.duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let time = wire::timestamp::rfc3339_millis(nanos.try_into().unwrap());
        writeln!(text, "received at {time}").unwrap();
    }
    text
}

fn extracted<T: DeserializeOwned + SpanAttributesExtractor>(event: &Value) -> SpanAttributes {
    serde_json::from_value::<T>(event.clone()).unwrap().extract_span_attributes()
}

/// An event of `tests/triggers`.
pub(super) fn trigger(name: &str) -> Value {
    let path = format!("{}/tests/triggers/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut case: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    case["event"].take()
}

/// Each event is described as its file says, as plain JSON and as the type of `aws_lambda_events`, if its feature is on.
#[test]
fn events_and_messages_are_described_as_in_their_files() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/triggers");
    let mut cases: Vec<String> = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let lines = |extracted: &SpanAttributes| {
            described(extracted).lines().map(Value::from).collect::<Value>()
        };
        let found = lines(&case["event"].extract_span_attributes());
        assert_eq!(found, case["description"], "{name}: {found:#}");
        if let Some(typed) = typed(&name, &case["event"]) {
            assert_eq!(lines(&typed), found, "{name}, typed");
        }
        cases.push(name);
    }
    assert!(TYPED.iter().all(|name| cases.iter().any(|own| own == name)), "{cases:?}");
}

#[test]
fn links_of_a_batch_beyond_128_are_counted_as_dropped() {
    let mut batch = trigger("sqs-batch");
    let first = batch["Records"][0].clone();
    batch["Records"] = vec![first; 10_000].into();
    let function = Function::new();
    function.handle(event(batch), succeed).unwrap();
    let written = function.written();
    let span = written.span_named("orders process");
    assert_eq!((span.links.len(), span.dropped_links_count), (128, 9872));
    assert_eq!(attribute(span, "messaging.batch.message_count").as_deref(), Some("10000"));
}

/// The spans of an event and a result in the notation of `tests/fixtures/triggers`, which the layers for Python and Node read
/// too.
fn spans_of(case: &Value) -> Value {
    const SHARED: [&str; 4] = [
        "faas.trigger",
        "http.response.status_code",
        "error.type",
        "aws.lambda.batch_item_failures",
    ];
    let function = Function::new();
    let result = case["result"].clone();
    let handler = move |_| std::future::ready(Ok(result.clone()));
    function.handle(event(case["event"].clone()), handler).unwrap();
    let written = function.written();
    let values = |own: &[proto::KeyValue], is_wanted: &dyn Fn(&str) -> bool| {
        let wanted = own.iter().filter(|own| is_wanted(&own.key));
        let value = |own: &proto::KeyValue| match own.value.as_ref()?.value.as_ref()? {
            any_value::Value::StringValue(text) => Some(json!(text)),
            any_value::Value::IntValue(number) => Some(json!(number)),
            _ => None,
        };
        wanted.map(|own| (own.key.clone(), value(own).unwrap_or_default())).collect::<Value>()
    };
    let ids =
        |trace: &[u8], span: &[u8]| json!({ "traceId": to_hex(trace), "spanId": to_hex(span) });
    let root = written.spans.iter().find(|span| span.kind() == SpanKind::Server).unwrap();
    let has_parent = !root.parent_span_id.is_empty();
    let parent = has_parent.then(|| ids(&root.trace_id, &root.parent_span_id));
    let consumer = written.spans.iter().find(|span| span.kind() == SpanKind::Consumer);
    let consumer = consumer.map(|span| {
        let links = span.links.iter().map(|link| {
            let mut own = ids(&link.trace_id, &link.span_id);
            own["attributes"] = values(&link.attributes, &|_| true);
            own
        });
        json!({
            "name": span.name, "kind": "CONSUMER",
            "attributes": values(&span.attributes, &|key| key.starts_with("messaging.")),
            "links": links.collect::<Vec<_>>(),
        })
    });
    let is_error = status(root).starts_with("error");
    json!({
        "root": {
            "kind": "SERVER", "parent": parent, "status": if is_error { "ERROR" } else { "UNSET" },
            "attributes": values(&root.attributes, &|key| SHARED.contains(&key)),
        },
        "consumer": consumer,
    })
}

#[test]
fn events_give_the_spans_of_the_fixtures() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/triggers");
    let mut different = String::new();
    let mut cases = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let mut case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let found = spans_of(&case);
        let expected = json!({ "root": case["root"].take(), "consumer": case["consumer"].take() });
        if found != expected {
            writeln!(different, "{}\n  {found}\n  {expected}", path.display()).unwrap();
        }
        cases += 1;
    }
    assert!(different.is_empty() && cases > 20, "{cases} cases\n{different}");
}
