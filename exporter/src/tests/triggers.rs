//! The attributes of each source of events.

use super::driver::{Function, attribute, block_on, event, shown, succeed};
use crate::lambda_otel_lite::create_traced_handler;
use crate::trigger::SpanAttributes;
use crate::trigger::SpanAttributesExtractor;
use aws_lambda_events::apigw::{
    ApiGatewayProxyRequest, ApiGatewayV2httpRequest, ApiGatewayWebsocketProxyRequest,
};
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::common::v1::{self as proto, any_value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use settings::{Env, Source as _};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use wire::ids::to_hex;

pub(super) const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
pub(super) const XRAY: &str =
    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

/// The types of `aws_lambda_events` for events of the fixtures, and their features; the others exist only as plain JSON.
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

/// Variables by which a developer compares the languages with events of other projects, which this repository does not keep: a
/// folder of events, from which a test makes fixtures in the other folder. The tests of all languages read fixtures there.
const EVENTS: &str = "TRIGGER_EVENTS";
const FIXTURES: &str = "TRIGGER_FIXTURES";

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/triggers");

/// An event and its spans, in a file that the tests of the layer's code for Python and Node read too.
struct Fixture {
    name: String,
    event: Value,
    result: Value,
    spans: Value,
}

const SPANS: [&str; 4] = ["server", "consumer", "received_ms", "execution"];
/// The function of the fixtures.
const FUNCTION_ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:shop";

impl Fixture {
    /// Replaces the spans in the file, or adds them. The event stays as it is.
    fn write(&self, spans: &Value) {
        let path = format!("{FOLDER}/{}.json", self.name);
        let before = std::fs::read_to_string(&path).unwrap();
        let event = match before.split_once(",\n  \"server\":") {
            Some((event, _)) => event,
            None => before.trim_end().trim_end_matches('}').trim_end(),
        };
        let mut text = event.to_owned();
        // Only durable functions have the last one.
        for key in SPANS.into_iter().filter(|key| *key != "execution" || !spans[key].is_null()) {
            let value = serde_json::to_string_pretty(&spans[key]).unwrap().replace('\n', "\n  ");
            write!(text, ",\n  \"{key}\": {value}").unwrap();
        }
        std::fs::write(path, text + "\n}\n").unwrap();
    }
}

fn fixtures() -> Vec<Fixture> {
    let files = std::fs::read_dir(FOLDER).unwrap();
    let read = files.map(|file| {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        Fixture {
            name,
            event: case["event"].take(),
            result: case["result"].take(),
            spans: SPANS.into_iter().map(|key| (key.to_owned(), case[key].take())).collect(),
        }
    });
    read.collect()
}

/// The event of a fixture.
pub(super) fn trigger(name: &str) -> Value {
    let text = std::fs::read(format!("{FOLDER}/{name}.json")).unwrap();
    let mut case: Value = serde_json::from_slice(&text).unwrap();
    case["event"].take()
}

/// The types of `aws_lambda_events` are described like plain JSON, if their feature is on.
#[test]
fn typed_events_and_messages_are_described_like_plain_json() {
    let mut names = Vec::new();
    for Fixture { name, event, .. } in fixtures() {
        if let Some(typed) = typed(&name, &event) {
            let plain = described(&event.extract_span_attributes());
            assert_eq!(described(&typed), plain, "{name}");
        }
        names.push(name);
    }
    assert!(TYPED.iter().all(|name| names.iter().any(|own| own == name)), "{names:?}");
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

/// Attributes of every invocation, which other tests check.
const OF_EVERY_INVOCATION: [&str; 6] = [
    "faas.invocation_id",
    "faas.coldstart",
    "aws.lambda.invoked_arn",
    "aws.lambda.tenant_id",
    "cloud.resource_id",
    "cloud.account.id",
];

/// The spans of an event and a result in the notation of the fixtures.
fn spans_of(event: &Value, result: &Value) -> Value {
    let function = Function::new();
    let answer = result.clone();
    let handler = move |_| std::future::ready(Ok::<_, lambda_runtime::Error>(answer.clone()));
    let mut invocation = super::driver::event(event.clone());
    FUNCTION_ARN.clone_into(&mut invocation.context.invoked_function_arn);
    "shop".clone_into(&mut Arc::make_mut(&mut invocation.context.env_config).function_name);
    let named = create_traced_handler("<function>", function.completion.clone(), handler);
    block_on(named(invocation)).unwrap();
    let written = function.written();
    let of_kind = |kind| written.spans.iter().find(|span| span.kind() == kind);
    let with_parent = |span: &Span| {
        let mut described = span_in_fixture(span);
        let has_parent = !span.parent_span_id.is_empty();
        described["parent"] = has_parent.then(|| ids(&span.trace_id, &span.parent_span_id)).into();
        described
    };
    let execution = of_kind(SpanKind::Internal).map(|span| {
        let mut described = with_parent(span);
        described["ids"] = ids(&span.trace_id, &span.span_id);
        described["start_ms"] = (span.start_time_unix_nano / 1_000_000).into();
        described
    });
    let received_at = described_event(event).received_at;
    let received_ms = received_at.map(|time| time.duration_since(UNIX_EPOCH).unwrap().as_millis());
    json!({
        "server": of_kind(SpanKind::Server).map(with_parent),
        "execution": execution,
        "consumer": of_kind(SpanKind::Consumer).map(span_in_fixture),
        "received_ms": received_ms.map(|ms| u64::try_from(ms).unwrap()),
    })
}

/// The description of an event, or of the one that started the execution.
fn described_event(event: &Value) -> SpanAttributes {
    let described = event.extract_span_attributes();
    let execution = described.durable_execution.clone();
    execution
        .filter(|execution| execution.arn.starts_with(FUNCTION_ARN))
        .and_then(|execution| execution.input)
        .unwrap_or(described)
}

fn span_in_fixture(span: &Span) -> Value {
    let links = span.links.iter().map(|link| {
        let mut own = ids(&link.trace_id, &link.span_id);
        own["attributes"] = attributes_in_fixture(&link.attributes);
        own
    });
    let status = span.status.clone().unwrap_or_default();
    json!({
        "name": span.name,
        "kind": span.kind().as_str_name().trim_start_matches("SPAN_KIND_"),
        "status": {
            "code": status.code().as_str_name().trim_start_matches("STATUS_CODE_"),
            "message": status.message,
        },
        "attributes": attributes_in_fixture(&span.attributes),
        "links": links.collect::<Vec<_>>(),
    })
}

fn attributes_in_fixture(attributes: &[proto::KeyValue]) -> Value {
    let own = attributes.iter().filter(|own| !OF_EVERY_INVOCATION.contains(&own.key.as_str()));
    let value = |own: &proto::KeyValue| match own.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(json!(text)),
        any_value::Value::IntValue(number) => Some(json!(number)),
        any_value::Value::BoolValue(is) => Some(json!(is)),
        _ => None,
    };
    own.map(|own| (own.key.clone(), value(own).unwrap_or_default())).collect()
}

fn ids(trace_id: &[u8], span_id: &[u8]) -> Value {
    json!({ "traceId": to_hex(trace_id), "spanId": to_hex(span_id) })
}

#[test]
fn events_give_the_spans_of_the_fixtures() {
    let is_written = Env.get("UPDATE_EXPECT").is_some();
    let mut different = String::new();
    let fixtures = fixtures();
    for fixture in &fixtures {
        let Fixture { name, event, result, spans } = fixture;
        let found = spans_of(event, result);
        if is_written {
            fixture.write(&found);
        } else if found != *spans {
            writeln!(different, "{name}\n  {found}\n  {spans}").unwrap();
        }
    }
    assert!(different.is_empty() && fixtures.len() > 90, "{} cases\n{different}", fixtures.len());
}

/// An event of a durable function around another one.
fn envelope(event: &Value) -> Value {
    json!({
        "DurableExecutionArn": format!("{FUNCTION_ARN}:1/durable-execution/a/b"),
        "CheckpointToken": "t",
        "InitialExecutionState": { "Operations": [{
            "StartTimestamp": 1_790_000_000_123_u64,
            "ExecutionDetails": { "InputPayload": event.to_string() },
        }] },
    })
}

/// The spans of a durable function's invocation without what its execution adds.
fn without_execution(mut spans: Value, alone: &Value) -> Value {
    let server = &mut spans["server"];
    let attributes = server["attributes"].as_object_mut().unwrap();
    let before = attributes.len();
    attributes.retain(|key, _| !key.starts_with("aws.lambda.durable_execution."));
    assert_eq!(before - attributes.len(), 2, "{server}");
    if alone["server"]["parent"].is_null() {
        assert_eq!(server["parent"].take()["traceId"], "6ab13b808d43016f1a6ad23646d69a6d");
    } else {
        let link = server["links"].as_array_mut().unwrap().pop().unwrap();
        assert_eq!(link["traceId"], alone["server"]["parent"]["traceId"]);
    }
    spans
}

#[test]
fn an_event_that_starts_an_execution_gives_the_same_spans_as_alone() {
    let fixtures = fixtures();
    let inputs = fixtures.iter().filter(|fixture| !fixture.name.contains("durable"));
    for Fixture { name, event, .. } in inputs {
        let alone = spans_of(event, &Value::Null);
        let spans = without_execution(spans_of(&envelope(event), &Value::Null), &alone);
        assert_eq!(spans, alone, "{name}");
    }
}

#[test]
fn the_page_on_signals_has_every_attribute_of_the_fixtures() {
    let page = include_str!("../../../docs/signals.md");
    let (_, section) = page.split_once("## The invocation's span of a function").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    for Fixture { name, spans, .. } in fixtures() {
        let attributes =
            ["server", "consumer", "execution"].map(|span| spans[span]["attributes"].clone());
        for key in attributes.iter().filter_map(Value::as_object).flat_map(|own| own.keys()) {
            assert!(section.contains(&format!("`{key}`")), "{key} of {name}");
        }
    }
}

#[test]
fn fixtures_are_made_of_a_folder_of_events() {
    let Some(events) = Env.get(EVENTS) else { return };
    let fixtures = Env.get(FIXTURES).expect("the folder of fixtures");
    std::fs::create_dir_all(&fixtures).unwrap();
    for file in std::fs::read_dir(events).unwrap() {
        let file = file.unwrap();
        let Ok(event) = serde_json::from_slice::<Value>(&std::fs::read(file.path()).unwrap())
        else {
            continue;
        };
        let mut fixture = spans_of(&event, &Value::Null);
        fixture["event"] = event;
        let text = serde_json::to_string_pretty(&fixture).unwrap();
        std::fs::write(std::path::Path::new(&fixtures).join(file.file_name()), text).unwrap();
    }
}
