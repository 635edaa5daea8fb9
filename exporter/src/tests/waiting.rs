//! The inferred spans for waiting requests and messages.

use super::driver::{Function, attribute, block_on, event};
use crate::SpanAttributes;
use crate::handler::create_traced_handler;
use crate::handler::trigger::SpanAttributesExtractor;
use lambda_runtime::{Error, LambdaEvent};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SWITCHED_ON: (&str, &str) = ("LAMBDA_OTLP_INFERRED_SPANS", "true");

fn queue_event(sent: [SystemTime; 2]) -> Value {
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

async fn handle(_event: LambdaEvent<Value>) -> Result<Value, Error> {
    Ok(json!({}))
}

/// The names of the spans of one invocation.
fn names(variables: &[(&str, &str)], payload: Value) -> Vec<String> {
    let function = Function::with_variables(variables);
    let handler = create_traced_handler("orders", function.completion.clone(), handle);
    block_on(handler(event(payload))).unwrap();
    let mut names: Vec<_> = function.written().spans.into_iter().map(|span| span.name).collect();
    names.sort();
    names
}

#[test]
fn a_wait_span_starts_when_the_oldest_message_was_sent() {
    let function = Function::with_variables(&[SWITCHED_ON]);
    let handler = create_traced_handler("orders", function.completion.clone(), handle);
    let sent = opentelemetry::time::now() - Duration::from_secs(90);
    block_on(handler(event(queue_event([sent + Duration::from_secs(5), sent])))).unwrap();
    let written = function.written();
    let (waited, invocation) = (written.span_named("orders wait"), written.span_named("orders"));
    assert_eq!(waited.parent_span_id, invocation.span_id);
    assert_eq!(attribute(waited, "lambda_otlp.inferred").as_deref(), Some("true"));
    let sent_ms = sent.duration_since(UNIX_EPOCH).unwrap().as_millis();
    assert_eq!(u128::from(waited.start_time_unix_nano / 1_000_000), sent_ms);
    let consumer = written.span_named("orders process");
    assert!(waited.end_time_unix_nano >= invocation.start_time_unix_nano);
    assert!(waited.end_time_unix_nano <= consumer.start_time_unix_nano);
}

#[test]
fn requests_and_bus_events_get_a_wait_span_if_enabled() {
    let ms = opentelemetry::time::now().duration_since(UNIX_EPOCH).unwrap().as_millis() - 1000;
    let ms = u64::try_from(ms).unwrap();
    let request = json!({"httpMethod": "GET", "requestContext": {"requestTimeEpoch": ms}});
    assert_eq!(names(&[SWITCHED_ON], request.clone()), ["HTTP wait", "orders"]);
    assert_eq!(names(&[], request), ["orders"]);
    let time = wire::timestamp::rfc3339_millis(ms * 1_000_000);
    let of_bus =
        json!({"source": "shop", "detail-type": "Order", "id": "1", "time": time, "detail": {}});
    assert_eq!(names(&[SWITCHED_ON], of_bus), ["orders", "shop process", "shop wait"]);
}

#[test]
fn future_old_or_invalid_times_yield_no_wait_span() {
    let now = opentelemetry::time::now();
    let without = ["orders", "orders process"];
    let (tomorrow, hours) = (now + Duration::from_secs(24 * 3600), Duration::from_secs(5 * 3600));
    assert_eq!(names(&[SWITCHED_ON], queue_event([tomorrow; 2])), without);
    assert_eq!(names(&[SWITCHED_ON], queue_event([now - hours; 2])), without);
    for nonsense in [json!("x"), json!(-1), json!(u64::MAX), json!(1e300)] {
        let request =
            json!({"httpMethod": "GET", "requestContext": {"requestTimeEpoch": nonsense}});
        assert_eq!(names(&[SWITCHED_ON], request), ["orders"]);
    }
}

#[test]
fn typed_events_have_the_same_times_as_json() {
    fn check<T: DeserializeOwned + SpanAttributesExtractor>(event: &Value) {
        let typed: T = serde_json::from_value(event.clone()).unwrap();
        let SpanAttributes { received_at, .. } = event.extract_span_attributes();
        assert!(received_at.is_some(), "{event}");
        assert_eq!(typed.extract_span_attributes().received_at, received_at);
    }
    check::<aws_lambda_events::apigw::ApiGatewayV2httpRequest>(&json!({
        "version": "2.0", "routeKey": "GET /", "rawPath": "/", "isBase64Encoded": false,
        "requestContext": {"http": {"method": "GET"}, "timeEpoch": 1_790_000_000_000_u64},
    }));
    check::<aws_lambda_events::apigw::ApiGatewayProxyRequest>(&json!({
        "httpMethod": "GET", "path": "/", "resource": "/",
        "requestContext": {
            "httpMethod": "GET", "identity": {}, "requestTimeEpoch": 1_790_000_000_000_u64,
        },
    }));
    #[cfg(feature = "sqs")]
    check::<aws_lambda_events::sqs::SqsEvent>(&queue_event(
        [UNIX_EPOCH + Duration::from_secs(7); 2],
    ));
    #[cfg(feature = "eventbridge")]
    check::<aws_lambda_events::eventbridge::EventBridgeEvent>(&json!({
        "source": "shop", "detail-type": "Order", "id": "1", "time": "2026-11-23T05:00:00Z",
        "detail": {}, "version": "0", "account": "123456789012", "region": "eu-west-1",
        "resources": [],
    }));
}
