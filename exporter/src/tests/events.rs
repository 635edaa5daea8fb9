//! The description of an invocation in its event, and the inferred span for the time that the event waited.

use super::driver::{Function, attribute, block_on, context, event, shown, status, succeed};
use crate::handler::TracedHandler;
use crate::handler::trigger::SpanAttributesExtractor;
use crate::handler::trigger::span_attributes::{SpanAttributes, TriggerType};
use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest};
use expect_test::{Expect, expect};
use lambda_runtime::{Error, LambdaEvent, Service as _};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn version_2(route_key: &str) -> Value {
    json!({
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": "/prod/orders/7",
        "rawQueryString": "full=true&x=%20",
        "headers": {
            "host": "abc.execute-api.eu-west-1.amazonaws.com",
            "user-agent": "curl/8",
            "x-forwarded-proto": "https",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
        "requestContext": {
            "accountId": "123456789012",
            "domainName": "abc.execute-api.eu-west-1.amazonaws.com",
            "http": {
                "method": "GET",
                "path": "/prod/orders/7",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "curl/8",
            },
            "requestId": "id",
            "routeKey": route_key,
            "stage": "prod",
            "timeEpoch": 1_790_000_000_000_u64,
        },
        "isBase64Encoded": false,
    })
}

fn version_1() -> Value {
    json!({
        "resource": "/orders/{id}",
        "path": "/orders/7",
        "httpMethod": "POST",
        "headers": { "Host": "api.example.com:8443", "User-Agent": "curl/8", "X-Forwarded-Proto": "http" },
        "multiValueHeaders": { "Accept": ["a", "b"] },
        "queryStringParameters": { "b": "2", "a": "x y" },
        "multiValueQueryStringParameters": { "b": ["1", "2"], "a": ["x y"] },
        "requestContext": {
            "resourcePath": "/orders/{id}",
            "httpMethod": "POST",
            "protocol": "HTTP/2.0",
            "domainName": "api.example.com",
            "identity": { "sourceIp": "192.0.2.1", "userAgent": "curl/8" },
        },
    })
}

fn describe(extracted: &SpanAttributes) -> String {
    let mut lines: Vec<String> =
        extracted.attributes.iter().map(|own| format!("{}={:?}\n", own.key, own.value)).collect();
    lines.sort();
    format!("{:?} {}\n{}", extracted.span_name, extracted.trigger, lines.concat())
}

/// Typed and untyped events must be described alike.
fn check<T>(event: &Value, expected: &Expect)
where
    T: SpanAttributesExtractor + serde::de::DeserializeOwned,
{
    let untyped = describe(&event.extract_span_attributes());
    expected.assert_eq(&untyped);
    let typed: T = serde_json::from_value(event.clone()).unwrap();
    assert_eq!(describe(&typed.extract_span_attributes()), untyped);
}

#[test]
fn an_http_api_is_described_by_its_route() {
    check::<ApiGatewayV2httpRequest>(
        &version_2("GET /orders/{id}"),
        &expect![[r#"
        Some("GET /orders/{id}") http
        client.address=String(Owned("192.0.2.1"))
        http.request.method=String(Static("GET"))
        http.route=String(Owned("/orders/{id}"))
        network.protocol.version=String(Owned("1.1"))
        server.address=String(Owned("abc.execute-api.eu-west-1.amazonaws.com"))
        url.path=String(Owned("/prod/orders/7"))
        url.query=String(Owned("full=true&x=%20"))
        url.scheme=String(Owned("https"))
        user_agent.original=String(Owned("curl/8"))
    "#]],
    );
}

#[test]
fn the_default_route_sets_neither_route_nor_span_name() {
    let extracted = version_2("$default").extract_span_attributes();
    assert_eq!(extracted.span_name, None);
    assert!(extracted.attributes.iter().all(|own| own.key.as_str() != "http.route"));
}

#[test]
fn a_rest_api_is_described_by_its_resource() {
    check::<ApiGatewayProxyRequest>(
        &version_1(),
        &expect![[r#"
        Some("POST /orders/{id}") http
        client.address=String(Owned("192.0.2.1"))
        http.request.method=String(Static("POST"))
        http.route=String(Owned("/orders/{id}"))
        network.protocol.version=String(Owned("2.0"))
        server.address=String(Owned("api.example.com"))
        server.port=I64(8443)
        url.path=String(Owned("/orders/7"))
        url.query=String(Owned("a=x%20y&b=1&b=2"))
        url.scheme=String(Owned("http"))
        user_agent.original=String(Owned("curl/8"))
    "#]],
    );
}

#[test]
fn any_json_is_described_without_a_panic() {
    let check = |event: Value, name: Option<&str>, trigger, has_carrier| {
        let extracted = event.extract_span_attributes();
        assert_eq!(extracted.span_name.as_deref(), name, "{event}");
        assert_eq!(extracted.trigger, trigger, "{event}");
        assert_eq!(extracted.carrier.is_some(), has_carrier, "{event}");
    };
    check(Value::Null, None, TriggerType::Other, false);
    check(json!([1, 2]), None, TriggerType::Other, false);
    check(json!({ "headers": 3 }), None, TriggerType::Other, true);
    check(json!({ "headers": { "a": 1 } }), None, TriggerType::Other, true);
    check(json!({ "requestContext": { "http": null } }), None, TriggerType::Other, false);
    check(
        json!({ "requestContext": { "http": { "method": "BREW" } } }),
        None,
        TriggerType::Http,
        true,
    );
    check(
        json!({ "requestContext": { "http": { "method": "BREW" } }, "routeKey": "ANY /pot" }),
        Some("HTTP /pot"),
        TriggerType::Http,
        true,
    );
    check(json!({ "httpMethod": "GET", "resource": 7 }), None, TriggerType::Http, true);
    check(
        json!({ "httpMethod": "GET", "requestContext": { "elb": {} } }),
        None,
        TriggerType::Http,
        true,
    );
    for records in [json!(7), json!([]), json!([3]), json!([{ "eventSource": 1 }])] {
        check(json!({ "Records": records }), None, TriggerType::Other, false);
    }
    check(json!({ "Records": [{ "eventSource": "aws:sqs" }] }), None, TriggerType::PubSub, false);
}

async fn bad_gateway<T>(_event: LambdaEvent<T>) -> Result<Value, Error> {
    Ok(json!({ "statusCode": 502 }))
}

#[test]
fn an_http_invocation_is_one_span_with_typed_attributes() {
    let function = Function::new();
    let handler = TracedHandler::new("orders", function.completion.clone(), bad_gateway);
    let payload: ApiGatewayV2httpRequest =
        serde_json::from_value(version_2("GET /orders/{id}")).unwrap();
    block_on(handler.clone().call(LambdaEvent::new(payload, context()))).unwrap();
    let span = function.span();
    assert_eq!(span.name, "GET /orders/{id}");
    assert_eq!(span.flags, 0x301);
    assert_eq!(wire::ids::to_hex(&span.parent_span_id), "b7ad6b7169203331");
    let attributes = shown(&span.attributes);
    for expected in [
        "faas.trigger=\"http\"\n",
        "http.response.status_code=502\n",
        "error.type=\"502\"\n",
        "url.path=\"/prod/orders/7\"\n",
    ] {
        assert!(attributes.contains(expected), "{attributes}");
    }
    assert!(!attributes.contains("http.method"), "{attributes}");
}

#[test]
fn the_opt_in_variable_adds_deprecated_http_attributes() {
    const OLD: [&str; 7] = [
        "http.method",
        "http.target",
        "http.scheme",
        "http.status_code",
        "http.user_agent",
        "http.client_ip",
        "http.flavor",
    ];
    let function = Function::with_variables(&[("OTEL_SEMCONV_STABILITY_OPT_IN", "http/dup")]);
    function.handle(event(version_2("GET /orders/{id}")), bad_gateway).unwrap();
    let attributes = shown(&function.span().attributes);
    let is_old = |line: &&str| {
        let (key, _) = line.split_once('=').unwrap();
        key.starts_with("net.") || OLD.contains(&key)
    };
    let old: String = attributes.split_inclusive('\n').filter(is_old).collect();
    expect![[r#"
        http.client_ip="192.0.2.1"
        http.flavor="1.1"
        http.method="GET"
        http.scheme="https"
        http.status_code=502
        http.target="/prod/orders/7?full=true&x=%20"
        http.user_agent="curl/8"
        net.host.name="abc.execute-api.eu-west-1.amazonaws.com"
    "#]]
    .assert_eq(&old);
}

#[test]
fn a_partial_batch_failure_is_an_error_with_count() {
    let check = |response: Value, expected: &str, failures: Option<&str>| {
        let function = Function::new();
        let response = move |_| std::future::ready(Ok(response.clone()));
        function.handle(event(json!({})), response).unwrap();
        let span = function.span();
        assert_eq!(status(&span), expected);
        let found = attribute(&span, "aws.lambda.batch_item_failures");
        assert_eq!(found.as_deref(), failures);
        let error_type = failures.map(|_| "\"batch_item_failures\"");
        assert_eq!(attribute(&span, "error.type").as_deref(), error_type);
    };
    let failed = json!([{ "itemIdentifier": "one" }, { "itemIdentifier": "two" }]);
    let message = "error: 2 of the batch's messages failed; Lambda delivers them again";
    check(json!({ "batchItemFailures": failed }), message, Some("2"));
    check(json!({ "batchItemFailures": [] }), "unset", None);
}

#[test]
fn name_kind_and_attributes_of_code_override_the_event() {
    let function = Function::new();
    let handler = TracedHandler::new("orders", function.completion.clone(), bad_gateway::<Value>)
        .with_span_name("mine")
        .with_kind(SpanKind::Consumer)
        .with_attributes([KeyValue::new("team", "shop"), KeyValue::new("tier", 2)])
        .with_extractor(|_: &Value| SpanAttributes::builder().with_span_name("theirs").build());
    block_on(handler.clone().call(event(json!({})))).unwrap();
    let span = function.span();
    assert_eq!((span.name.as_str(), span.kind), ("mine", 5));
    assert!(shown(&span.attributes).contains("team=\"shop\"\ntier=2\n"));
}

#[test]
fn the_span_has_the_tenant_id_of_the_invocation() {
    let invoke = |tenant_id: Option<&str>| {
        let function = Function::new();
        let mut event = event(json!({}));
        event.context.tenant_id = tenant_id.map(str::to_owned);
        function.handle(event, succeed).unwrap();
        attribute(&function.span(), "aws.lambda.tenant_id")
    };
    assert_eq!(invoke(Some("BlueTenant")).as_deref(), Some("\"BlueTenant\""));
    assert_eq!(invoke(None), None);
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

/// The names of the spans of one invocation.
fn names(variables: &[(&str, &str)], payload: Value) -> Vec<String> {
    let function = Function::with_variables(variables);
    function.handle(event(payload), succeed).unwrap();
    let mut names: Vec<_> = function.written().spans.into_iter().map(|span| span.name).collect();
    names.sort();
    names
}

#[test]
fn a_wait_span_starts_when_the_oldest_message_was_sent() {
    let function = Function::with_variables(&[SWITCHED_ON]);
    let sent = opentelemetry::time::now() - Duration::from_secs(90);
    let event = event(sent_messages([sent + Duration::from_secs(5), sent]));
    function.handle(event, succeed).unwrap();
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
    assert_eq!(names(&[SWITCHED_ON], sent_messages([tomorrow; 2])), without);
    assert_eq!(names(&[SWITCHED_ON], sent_messages([now - hours; 2])), without);
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
    check::<aws_lambda_events::sqs::SqsEvent>(&sent_messages(
        [UNIX_EPOCH + Duration::from_secs(7); 2],
    ));
    #[cfg(feature = "eventbridge")]
    check::<aws_lambda_events::eventbridge::EventBridgeEvent>(&json!({
        "source": "shop", "detail-type": "Order", "id": "1", "time": "2026-11-23T05:00:00Z",
        "detail": {}, "version": "0", "account": "123456789012", "region": "eu-west-1",
        "resources": [],
    }));
}
