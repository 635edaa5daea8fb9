//! The description of an invocation in its event, and the inferred span for the time that the event waited.

use super::driver::{Function, attribute, block_on, event, shown, succeed};
use super::triggers::trigger;
use crate::handler::TracedHandler;
use crate::trigger::SpanAttributesExtractor;
use crate::trigger::span_attributes::SpanAttributes;
use crate::trigger::span_attributes::TriggerType::{Http, Other, PubSub};
use lambda_runtime::Service as _;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[test]
fn any_json_is_described_without_a_panic() {
    let check = |event: Value, name: Option<&str>, trigger| {
        let extracted = event.extract_span_attributes();
        assert_eq!(extracted.span_name.as_deref(), name, "{event}");
        assert_eq!(extracted.trigger, trigger, "{event}");
        assert!(extracted.carrier.unwrap_or_default().is_empty(), "{event}");
    };
    check(Value::Null, None, Other);
    check(json!([1, 2]), None, Other);
    check(json!({ "headers": 3 }), None, Other);
    check(json!({ "headers": { "a": 1 } }), None, Other);
    check(json!({ "requestContext": { "http": null } }), None, Other);
    let brew = json!({ "http": { "method": "BREW" } });
    check(json!({ "requestContext": brew }), None, Http);
    check(json!({ "requestContext": brew, "routeKey": "ANY /pot" }), Some("HTTP /pot"), Http);
    check(json!({ "httpMethod": "GET", "resource": 7 }), None, Http);
    check(json!({ "httpMethod": "GET", "requestContext": { "elb": {} } }), None, Http);
    for records in [json!(7), json!([]), json!([3]), json!([{ "eventSource": 1 }])] {
        check(json!({ "Records": records }), None, Other);
    }
    check(json!({ "Records": [{ "eventSource": "aws:sqs" }] }), None, PubSub);
}

#[test]
fn name_kind_and_attributes_of_code_override_the_event() {
    let function = Function::new();
    let handler = TracedHandler::new("orders", function.completion.clone(), succeed)
        .with_span_name("mine")
        .with_kind(SpanKind::Consumer)
        .with_attributes([KeyValue::new("team", "shop"), KeyValue::new("tier", 2)])
        .with_extractor(|_: &Value| SpanAttributes::builder().with_span_name("theirs").build());
    block_on(handler.clone().call(event(json!({})))).unwrap();
    let span = function.span();
    assert_eq!((span.name.as_str(), span.kind), ("mine", 5));
    assert!(shown(&span.attributes).contains("team=\"shop\"\ntier=2\n"));
    // A kind in code also prevents the extra span of messages.
    let mut handler = handler.with_extractor(crate::trigger::EventExtractor);
    block_on(handler.call(event(trigger("sqs-batch")))).unwrap();
    let span = function.span();
    assert_eq!((span.kind, span.links.len()), (5, 4));
    assert_eq!(attribute(&span, "messaging.destination.name").as_deref(), Some("\"orders\""));
}

const SWITCHED_ON: (&str, &str) = ("LAMBDA_OTLP_INFERRED_SPANS", "true");

fn sent_messages(sent: [SystemTime; 2]) -> Value {
    let records = sent.map(|sent| {
        let sent = sent.duration_since(UNIX_EPOCH).unwrap().as_millis();
        json!({
            "messageId": "m", "body": "{}", "eventSource": "aws:sqs", "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders",
            // An attribute that the sender has set.
            "messageAttributes": {"SentTimestamp": {"stringValue": "1", "dataType": "String"}},
            "attributes": {"SentTimestamp": sent.to_string()},
        })
    });
    json!({ "Records": records })
}

#[test]
fn a_wait_span_starts_when_the_oldest_message_was_sent() {
    let function = Function::with_variables(&[SWITCHED_ON]);
    let sent = opentelemetry::time::now() - Duration::from_secs(90);
    let event = event(sent_messages([sent + Duration::from_secs(5), sent]));
    function.handle(event, succeed).unwrap();
    let written = function.written();
    let waited = written.span_named("orders wait");
    let invocation = written.span_named("orders");
    assert_eq!(waited.parent_span_id, invocation.span_id);
    assert_eq!(attribute(waited, "lambda_otlp.inferred").as_deref(), Some("true"));
    let sent_ms = sent.duration_since(UNIX_EPOCH).unwrap().as_millis();
    assert_eq!(u128::from(waited.start_time_unix_nano / 1_000_000), sent_ms);
    let consumer = written.span_named("orders process");
    assert!(waited.end_time_unix_nano >= invocation.start_time_unix_nano);
    assert!(waited.end_time_unix_nano <= consumer.start_time_unix_nano);
}

#[test]
fn a_recent_request_message_or_bus_event_gets_a_wait_span_if_enabled() {
    let now = opentelemetry::time::now();
    let ms = u64::try_from(now.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap() - 1000;
    let request =
        |ms: Value| json!({"httpMethod": "GET", "requestContext": {"requestTimeEpoch": ms}});
    let time = wire::timestamp::rfc3339_millis(ms * 1_000_000);
    let of_bus =
        json!({"source": "shop", "detail-type": "Order", "id": "1", "time": time, "detail": {}});
    let tomorrow = now + Duration::from_hours(24);
    let hours = Duration::from_hours(5);
    let check = |name: &str, variables: &[(&str, &str)], payload: Value, expected: &[&str]| {
        let function = Function::with_variables(variables);
        function.handle(event(payload), succeed).unwrap();
        let written = function.written();
        let mut names = written.span_names();
        names.sort_unstable();
        assert_eq!(names, expected, "{name}");
    };
    let on = [SWITCHED_ON];
    check("request", &on, request(json!(ms)), &["HTTP wait", "orders"]);
    check("not enabled", &[], request(json!(ms)), &["orders"]);
    check("bus event", &on, of_bus, &["orders", "shop process", "shop wait"]);
    check("future", &on, sent_messages([tomorrow; 2]), &["orders", "orders process"]);
    check("old", &on, sent_messages([now - hours; 2]), &["orders", "orders process"]);
    for invalid in [json!("x"), json!(-1), json!(u64::MAX), json!(1e300)] {
        check("invalid", &on, request(invalid), &["orders"]);
    }
}
