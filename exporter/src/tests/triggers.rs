//! The attributes of each source of events.

use super::driver::{Function, attribute, event, shown, status, succeed};
use crate::SpanAttributes;
use crate::handler::trigger::SpanAttributesExtractor;
use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use expect_test::{Expect, expect};
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::common::v1::{self as proto, any_value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::UNIX_EPOCH;
use wire::ids::to_hex;

pub(super) const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
pub(super) const XRAY: &str =
    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

/// The types of `aws_lambda_events`; without the feature plain JSON replaces them.
macro_rules! types {
    ($($feature:literal $name:ident = $path:path;)*) => {$(
        #[cfg(feature = $feature)]
        pub(super) type $name = $path;
        #[cfg(not(feature = $feature))]
        pub(super) type $name = Value;
    )*};
}

types! {
    "sqs" SqsEvent = aws_lambda_events::sqs::SqsEvent;
    "sns" SnsEvent = aws_lambda_events::sns::SnsEvent;
    "eventbridge" EventBridgeEvent = aws_lambda_events::eventbridge::EventBridgeEvent;
    "kinesis" KinesisEvent = aws_lambda_events::kinesis::KinesisEvent;
    "kafka" KafkaEvent = aws_lambda_events::kafka::KafkaEvent;
    "dynamodb" DynamoDbEvent = aws_lambda_events::dynamodb::Event;
    "s3" S3Event = aws_lambda_events::s3::S3Event;
    "alb" AlbRequest = aws_lambda_events::alb::AlbTargetGroupRequest;
}

/// Trigger and attributes, a parent if there is one, the linked spans, and the time of the request or message.
pub(super) fn described(extracted: &SpanAttributes) -> String {
    let attributes: Vec<_> = extracted.attributes.iter().map(in_otlp).collect();
    let mut text = format!("{}\n{}", extracted.trigger, shown(&attributes));
    if let Some(name) = &extracted.span_name {
        text.insert_str(0, &format!("{name}: "));
    }
    if let Some(parent) = extracted.carrier.as_ref().and_then(|carrier| carrier.get("traceparent"))
    {
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

fn in_otlp(attribute: &KeyValue) -> proto::KeyValue {
    proto::KeyValue {
        key: attribute.key.to_string(),
        value: Some(attribute.value.clone().into()),
        ..Default::default()
    }
}

/// An event is described alike as plain JSON and as the type of `aws_lambda_events`, if its feature is on.
pub(super) fn check<T: serde::de::DeserializeOwned + SpanAttributesExtractor>(
    event: &Value,
    expected: &Expect,
) {
    let as_json = described(&event.extract_span_attributes());
    expected.assert_eq(&as_json);
    let typed: T = serde_json::from_value(event.clone()).unwrap();
    assert_eq!(described(&typed.extract_span_attributes()), as_json, "typed");
}

pub(super) fn queue_event() -> Value {
    let message = |id: &str, attributes: Value, mut system: Value, body: &str| {
        system["SentTimestamp"] = "1790000000000".into();
        json!({
            "messageId": id, "receiptHandle": "r", "body": body, "attributes": system,
            "messageAttributes": attributes, "md5OfBody": "m", "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders", "awsRegion": "eu-west-1",
        })
    };
    let text = |value: &str| {
        json!({
            "stringValue": value, "stringListValues": [], "binaryListValues": [], "dataType": "String",
        })
    };
    // The sender's own timestamp is none of the queue's.
    let traceparent = json!({ "traceparent": text(PARENT), "SentTimestamp": text("1") });
    let of_topic = json!({ "Type": "Notification", "Message": "x", "MessageAttributes": {
        "traceparent": { "Type": "String", "Value": PARENT.replace("b7ad", "aaaa") }
    } });
    let of_bus = json!({ "detail-type": "Order", "source": "shop", "detail": {
        "headers": { "traceparent": PARENT.replace("b7ad", "bbbb") }
    } });
    json!({ "Records": [
        message("1", traceparent, json!({ "AWSTraceHeader": XRAY }), "a"),
        message("2", json!({}), json!({ "AWSTraceHeader": XRAY }), "mentions a traceparent"),
        message("3", json!({}), json!({}), &of_topic.to_string()),
        message("4", json!({}), json!({}), &of_bus.to_string()),
        message("5", json!({}), json!({ "AWSTraceHeader": "nonsense" }), "{"),
    ] })
}

#[test]
fn a_queue_batch_links_to_its_sending_spans() {
    check::<SqsEvent>(
        &queue_event(),
        &expect![[r#"
            pubsub
            messaging.batch.message_count=5
            messaging.destination.name="orders"
            messaging.operation.name="process"
            messaging.operation.type="process"
            messaging.system="aws_sqs"
            link 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 messaging.message.id=1
            link 5759e988bd862e3fe1be46a994272793 53995c3f42cd8ad8 messaging.message.id=2
            link 0af7651916cd43dd8448eb211c80319c aaaa6b7169203331 messaging.message.id=3
            link 0af7651916cd43dd8448eb211c80319c bbbb6b7169203331 messaging.message.id=4
            received at 2026-09-21T14:13:20.000Z
        "#]],
    );
}

#[test]
fn links_of_a_batch_beyond_128_are_counted_as_dropped() {
    let mut batch = queue_event();
    let first = batch["Records"][0].clone();
    batch["Records"] = vec![first; 10_000].into();
    let function = Function::new();
    function.handle(event(batch), succeed).unwrap();
    let written = function.written();
    let span = written.span_named("orders process");
    assert_eq!((span.links.len(), span.dropped_links_count), (128, 9872));
    assert_eq!(attribute(span, "messaging.batch.message_count").as_deref(), Some("10000"));
}

/// A record of Amazon SNS.
pub(super) fn notification(message: &str, attributes: &Value) -> Value {
    json!({
        "EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": "a", "Sns": {
            "Type": "Notification", "MessageId": "m-1", "Subject": null, "Message": message,
            "TopicArn": "arn:aws:sns:eu-west-1:123456789012:orders", "SignatureVersion": "1",
            "Timestamp": "2026-11-21T10:00:00.000Z", "Signature": "s", "SigningCertUrl": "u",
            "UnsubscribeUrl": "u", "MessageAttributes": attributes,
        }
    })
}

#[test]
fn a_topic_notification_continues_the_senders_trace() {
    let event = |record: Value| json!({ "Records": [record] });
    let traceparent = json!({ "traceparent": { "Type": "String", "Value": PARENT } });
    let of_topic = event(notification("x", &traceparent));
    let parent = of_topic.extract_span_attributes().carrier.unwrap();
    let detail = json!({ "detail": { "traceparent": PARENT } }).to_string();
    let of_bus = event(notification(&detail, &json!({})));
    assert_eq!(of_bus.extract_span_attributes().carrier.unwrap(), parent);
    check::<SnsEvent>(
        &of_bus,
        &expect![[r#"
            pubsub
            messaging.destination.name="orders"
            messaging.message.id="m-1"
            messaging.operation.name="process"
            messaging.operation.type="process"
            messaging.system="aws.sns"
            parent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
        "#]],
    );
}

#[test]
fn bus_events_are_messages_and_schedules_are_timers() {
    let mut event = json!({
        "version": "0", "id": "e-1", "detail-type": "Order", "source": "shop",
        "account": "123456789012", "time": "2026-11-21T10:00:00+00:00", "region": "eu-west-1",
        "resources": [], "detail": { "traceparent": PARENT },
    });
    check::<EventBridgeEvent>(
        &event,
        &expect![[r#"
            pubsub
            messaging.destination.name="shop"
            messaging.message.id="e-1"
            messaging.operation.name="process"
            messaging.operation.type="process"
            messaging.system="aws_eventbridge"
            parent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
            received at 2026-11-21T10:00:00.000Z
        "#]],
    );
    event["source"] = "aws.events".into();
    event["detail"] = json!({});
    check::<EventBridgeEvent>(
        &event,
        &expect![[r#"
            timer
            faas.time="2026-11-21T10:00:00.000Z"
        "#]],
    );
}

#[test]
fn table_changes_are_described_by_their_common_attributes() {
    let change = |name: &str| {
        json!({
            "eventID": "1", "eventName": name, "eventVersion": "1.1", "eventSource": "aws:dynamodb",
            "awsRegion": "eu-west-1", "dynamodb": {
                "ApproximateCreationDateTime": 1.0, "Keys": {}, "NewImage": {}, "OldImage": {},
                "SequenceNumber": "1", "SizeBytes": 1, "StreamViewType": "KEYS_ONLY"
            },
            "eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026",
        })
    };
    check::<DynamoDbEvent>(
        &json!({ "Records": [change("MODIFY"), change("MODIFY")] }),
        &expect![[r#"
            datasource
            faas.document.collection="orders"
            faas.document.operation="edit"
        "#]],
    );
    check::<DynamoDbEvent>(
        &json!({ "Records": [change("MODIFY"), change("REMOVE")] }),
        &expect![[r#"
            datasource
            faas.document.collection="orders"
        "#]],
    );
}

#[test]
fn an_object_change_names_its_bucket_and_key() {
    check::<S3Event>(
        &json!({ "Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1",
            "eventTime": "2026-11-21T10:00:00+00:00", "eventName": "ObjectCreated:Put",
            "userIdentity": { "principalId": "p" }, "requestParameters": { "sourceIPAddress": "i" },
            "responseElements": {}, "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "c",
                "bucket": { "name": "invoices", "ownerIdentity": { "principalId": "p" }, "arn": "a" },
                "object": { "key": "2026/M%C3%A4rz+%2B+1.pdf", "size": 1, "eTag": "e", "sequencer": "s" }
            }
        }] }),
        &expect![[r#"
            datasource
            faas.document.collection="invoices"
            faas.document.name="2026/März + 1.pdf"
            faas.document.operation="insert"
            faas.document.time="2026-11-21T10:00:00.000Z"
            messaging.destination.name="invoices"
            messaging.operation.name="process"
            messaging.operation.type="process"
            messaging.system="aws_s3"
        "#]],
    );
}

#[test]
fn a_load_balancer_request_has_client_server_and_url_attributes() {
    check::<AlbRequest>(
        &json!({
            "requestContext": { "elb": { "targetGroupArn": "arn:aws:elb:target-group" } },
            "httpMethod": "GET", "path": "/orders/4711", "queryStringParameters": { "q": "a%20b" },
            "isBase64Encoded": false, "headers": {
                "host": "shop.example:8443", "traceparent": PARENT, "x-forwarded-proto": "https",
                "x-forwarded-for": "192.0.2.1, 198.51.100.7", "x-forwarded-port": "443"
            },
        }),
        &expect![[r#"
            GET /orders/{id}: http
            alb.target_group_arn="arn:aws:elb:target-group"
            client.address="192.0.2.1"
            http.request.method="GET"
            server.address="shop.example"
            server.port=443
            url.path="/orders/4711"
            url.query="q=a%20b"
            url.scheme="https"
            parent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
        "#]],
    );
    let event = json!({
        "requestContext": { "elb": { "targetGroupArn": "a" } }, "httpMethod": "POST", "path": "/",
        "multiValueQueryStringParameters": { "a": ["1", "2"] }, "isBase64Encoded": false,
        "multiValueHeaders": {
            "host": ["shop.example:8443"], "x-forwarded-proto": ["http"],
            "x-forwarded-for": ["<script>"], "x-forwarded-port": ["65536"]
        },
    });
    check::<AlbRequest>(
        &event,
        &expect![[r#"
            POST /: http
            alb.target_group_arn="a"
            http.request.method="POST"
            server.address="shop.example"
            server.port=8443
            url.path="/"
            url.query="a=1&a=2"
            url.scheme="http"
        "#]],
    );
}

#[test]
fn a_vpc_lattice_request_is_read_with_multi_value_fields() {
    let event = json!({
        "version": "2.0", "path": "/health", "method": "GET", "isBase64Encoded": false,
        "headers": { "user-agent": ["curl/8"], "x-forwarded-for": ["10.0.2.100"], "Traceparent": [PARENT] },
        "queryStringParameters": { "state": ["prod"], "sig": ["s3cr3t", "b"] },
        "requestContext": { "targetGroupArn": "arn:aws:vpc-lattice:target-group" },
    });
    expect![[r#"
        GET /health: http
        aws.vpc_lattice.target_group.arn="arn:aws:vpc-lattice:target-group"
        client.address="10.0.2.100"
        http.request.method="GET"
        url.path="/health"
        url.query="sig=REDACTED&sig=REDACTED&state=prod"
        url.scheme="https"
        user_agent.original="curl/8"
        parent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
    "#]]
    .assert_eq(&described(&event.extract_span_attributes()));
}

#[test]
fn a_graphql_resolver_continues_the_trace_of_the_request() {
    let field = |parent: &str| {
        json!({
            "arguments": { "id": 7 }, "identity": { "sourceIp": ["192.0.2.1"] },
            "info": { "fieldName": "order", "parentTypeName": parent, "variables": {} },
            "request": { "domainName": null, "headers": {
                "host": "x.appsync-api.eu-west-1.amazonaws.com", "x-forwarded-proto": "https",
                "x-forwarded-port": "443", "traceparent": PARENT
            } },
        })
    };
    let query = described(&field("Query").extract_span_attributes());
    expect![[r#"
        Query.order: http
        client.address="192.0.2.1"
        graphql.operation.type="query"
        server.address="x.appsync-api.eu-west-1.amazonaws.com"
        server.port=443
        url.scheme="https"
        parent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
    "#]]
    .assert_eq(&query);
    let batch = json!([field("Query"), field("Query")]);
    assert_eq!(described(&batch.extract_span_attributes()), query);
    let nested = described(&field("Customer").extract_span_attributes());
    assert!(nested.starts_with("Customer.order: http\n") && !nested.contains("graphql"));
    // A custom resolver passes on the request only.
    let own = json!({ "field": "order", "request": { "headers": { "traceparent": PARENT } } });
    expect![[r"
        other
        parent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
    "]]
    .assert_eq(&described(&own.extract_span_attributes()));
}

#[test]
fn a_call_by_a_bedrock_agent_is_a_tool_execution() {
    let mut event = json!({
        "messageVersion": "1.0", "agent": { "name": "clerk", "id": "A1", "alias": "a", "version": "1" },
        "inputText": "secret", "sessionId": "s-1", "actionGroup": "orders", "apiPath": "/orders/{id}",
        "httpMethod": "GET", "parameters": [{ "name": "id", "type": "string", "value": "7" }],
    });
    expect![[r#"
        execute_tool GET /orders/{id}: other
        gen_ai.agent.id="A1"
        gen_ai.agent.name="clerk"
        gen_ai.conversation.id="s-1"
        gen_ai.operation.name="execute_tool"
        gen_ai.tool.name="GET /orders/{id}"
    "#]]
    .assert_eq(&described(&event.extract_span_attributes()));
    event["function"] = "find_order".into();
    let text = described(&event.extract_span_attributes());
    assert!(text.starts_with("execute_tool find_order: other\n"), "{text}");
}

#[test]
fn document_and_repository_changes_are_data_source_events() {
    let change = |operation: &str| {
        json!({ "event": {
            "clusterTime": { "$timestamp": { "t": 1_795_255_200, "i": 9 } }, "operationType": operation,
            "documentKey": { "_id": { "$oid": "63eeb6e7" } }, "ns": { "db": "shop", "coll": "orders" },
        } })
    };
    let event = |changes: Value| json!({ "eventSource": "aws:docdb", "eventSourceArn": "arn:aws:rds:c", "events": changes });
    expect![[r#"
        datasource
        faas.document.collection="orders"
        faas.document.name="63eeb6e7"
        faas.document.operation="edit"
        faas.document.time="2026-11-21T10:00:00.000Z"
    "#]]
    .assert_eq(&described(&event(json!([change("replace")])).extract_span_attributes()));
    expect![[r#"
        datasource
        faas.document.collection="orders"
    "#]]
    .assert_eq(&described(
        &event(json!([change("insert"), change("delete")])).extract_span_attributes(),
    ));
    let push = json!({ "Records": [{
        "eventSource": "aws:codecommit", "eventName": "ReferenceChanges", "eventId": "e",
        "eventTime": "2026-11-21T10:00:00.475+0000",
        "eventSourceARN": "arn:aws:codecommit:eu-west-1:123456789012:my-repo",
        "codecommit": { "references": [{ "commit": "5c4ef104", "ref": "refs/heads/main", "created": true }] },
    }] });
    expect![[r#"
        datasource
        faas.document.collection="my-repo"
        faas.document.name="refs/heads/main"
        faas.document.operation="insert"
        faas.document.time="2026-11-21T10:00:00.475Z"
    "#]]
    .assert_eq(&described(&push.extract_span_attributes()));
}

#[test]
fn a_websocket_span_is_named_by_its_route() {
    let event = json!({ "requestContext": { "routeKey": "$connect", "connectedAt": 0, "requestTimeEpoch": 0 },
        "headers": { "Traceparent": PARENT } });
    let untyped = described(&event.extract_span_attributes());
    assert!(untyped.starts_with("$connect: http\nhttp.route=\"$connect\"\nparent 00-"));
    let typed: ApiGatewayWebsocketProxyRequest = serde_json::from_value(event).unwrap();
    assert_eq!(described(&typed.extract_span_attributes()), untyped);
}

/// Events as services really send them, if the files exist; each is described as its own kind.
#[test]
fn real_events_are_recognised_by_their_shape() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/samples/peers/trigger-events");
    let Ok(files) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: the peers' samples are not here");
        return;
    };
    let mut known = 0;
    for file in files.map(|file| file.unwrap().path()) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let Ok(event) = serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()) else {
            continue;
        };
        let expected = match name.as_str() {
            "eventbridge_span" => "other",
            name if name.starts_with("step_function") => "other",
            name if name.starts_with("api_") || name.starts_with("application_") => "http",
            "lambda_function_url_event" => "http",
            "dynamodb_event" | "s3_event" => "datasource",
            _ => "pubsub",
        };
        let text = described(&event.extract_span_attributes());
        let trigger = text.lines().next().unwrap();
        assert!(trigger.ends_with(expected), "{name}: {text}");
        if name == "application_load_balancer" {
            assert!(text.starts_with("GET /: ") && text.contains("client.address=\"18.204.55.6\""));
        }
        known += usize::from(expected != "other");
    }
    assert!(known >= 20, "{known}");
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
