//! What each source of events adds to the span of its invocation.

use super::driver::shown;
use crate::SpanAttributes;
use crate::handler::trigger::SpanAttributesExtractor;
use expect_test::{Expect, expect};
use serde_json::{Value, json};
use std::fmt::Write as _;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

/// The types of `aws_lambda_events`; without the feature plain JSON stands in for them.
macro_rules! types {
    ($($feature:literal $name:ident = $path:path;)*) => {$(
        #[cfg(feature = $feature)]
        type $name = $path;
        #[cfg(not(feature = $feature))]
        type $name = Value;
    )*};
}

types! {
    "sqs" SqsEvent = aws_lambda_events::sqs::SqsEvent;
    "sns" SnsEvent = aws_lambda_events::sns::SnsEvent;
    "eventbridge" EventBridgeEvent = aws_lambda_events::eventbridge::EventBridgeEvent;
    "kinesis" KinesisEvent = aws_lambda_events::kinesis::KinesisEvent;
    "dynamodb" DynamoDbEvent = aws_lambda_events::dynamodb::Event;
    "s3" S3Event = aws_lambda_events::s3::S3Event;
    "alb" AlbRequest = aws_lambda_events::alb::AlbTargetGroupRequest;
}

/// Trigger and attributes, a parent if there is one, and the spans that are linked.
fn described(extracted: &SpanAttributes) -> String {
    let attributes: Vec<_> = extracted.attributes.iter().map(proto).collect();
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
        writeln!(text, "link {} {}", context.trace_id(), context.span_id()).unwrap();
    }
    text
}

fn proto(attribute: &opentelemetry::KeyValue) -> opentelemetry_proto::tonic::common::v1::KeyValue {
    opentelemetry_proto::tonic::common::v1::KeyValue {
        key: attribute.key.to_string(),
        value: Some(attribute.value.clone().into()),
        ..Default::default()
    }
}

/// As plain JSON and as the type of `aws_lambda_events`, where its feature is on, an event says the same.
fn check<T: serde::de::DeserializeOwned + SpanAttributesExtractor>(
    event: &Value,
    expected: &Expect,
) {
    let as_json = described(&event.extract_span_attributes());
    expected.assert_eq(&as_json);
    let typed: T = serde_json::from_value(event.clone()).unwrap();
    assert_eq!(described(&typed.extract_span_attributes()), as_json, "typed");
}

fn queue_event() -> Value {
    let message = |id: &str, attributes: Value, system: Value, body: &str| {
        json!({
            "messageId": id, "receiptHandle": "r", "body": body, "attributes": system,
            "messageAttributes": attributes, "md5OfBody": "m", "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders", "awsRegion": "eu-west-1",
        })
    };
    let traceparent = json!({ "traceparent": {
        "stringValue": PARENT, "stringListValues": [], "binaryListValues": [], "dataType": "String"
    } });
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
fn a_batch_of_a_queue_links_the_spans_that_sent_its_messages() {
    check::<SqsEvent>(
        &queue_event(),
        &expect![[r#"
            pubsub
            messaging.batch.message_count=5
            messaging.destination.name="orders"
            messaging.operation.name="process"
            messaging.operation.type="process"
            messaging.system="aws_sqs"
            link 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331
            link 5759e988bd862e3fe1be46a994272793 53995c3f42cd8ad8
            link 0af7651916cd43dd8448eb211c80319c aaaa6b7169203331
            link 0af7651916cd43dd8448eb211c80319c bbbb6b7169203331
        "#]],
    );
}

#[test]
fn a_large_batch_has_as_many_links_as_a_span_takes() {
    let mut event = queue_event();
    let first = event["Records"][0].clone();
    event["Records"] = vec![first; 10_000].into();
    let extracted = event.extract_span_attributes();
    assert_eq!(extracted.links.len(), 128);
    assert!(described(&extracted).contains("message_count=10000"));
}

#[test]
fn a_notification_of_a_topic_goes_on_with_the_trace() {
    let mut sns = json!({
        "Type": "Notification", "MessageId": "m-1", "Subject": null, "Message": "x",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:orders",
        "Timestamp": "2026-11-21T10:00:00.000Z", "SignatureVersion": "1", "Signature": "s",
        "SigningCertUrl": "u", "UnsubscribeUrl": "u",
        "MessageAttributes": { "traceparent": { "Type": "String", "Value": PARENT } },
    });
    let event = |sns: &Value| {
        json!({ "Records": [{
            "EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": "a", "Sns": sns
        }] })
    };
    let of_topic = event(&sns);
    let parent = of_topic.extract_span_attributes().carrier.unwrap();
    sns["MessageAttributes"] = json!({});
    sns["Message"] = json!({ "detail": { "traceparent": PARENT } }).to_string().into();
    let of_bus = event(&sns);
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
fn an_event_of_a_bus_is_a_message_and_a_schedule_is_a_timer() {
    let mut event = json!({
        "version": "0", "id": "e-1", "detail-type": "Order", "source": "shop",
        "account": "123456789012", "time": "2026-11-21T10:00:00+00:00", "region": "eu-west-1",
        "resources": [], "detail": { "traceparent": PARENT },
    });
    check::<EventBridgeEvent>(
        &event,
        &expect![[r#"
            pubsub
            messaging.message.id="e-1"
            messaging.operation.name="process"
            messaging.operation.type="process"
            messaging.system="aws_eventbridge"
            parent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
        "#]],
    );
    event["source"] = "aws.events".into();
    event["detail"] = json!({});
    check::<EventBridgeEvent>(
        &event,
        &expect![[r#"
            timer
            faas.time="2026-11-21T10:00:00+00:00"
        "#]],
    );
}

#[test]
fn records_of_a_stream_are_counted() {
    let record = json!({
        "eventID": "shardId-0:1", "eventName": "aws:kinesis:record", "eventVersion": "1.0",
        "eventSource": "aws:kinesis", "awsRegion": "eu-west-1", "invokeIdentityArn": "i",
        "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
        "kinesis": {
            "approximateArrivalTimestamp": 1.5, "data": "eA==", "partitionKey": "p",
            "sequenceNumber": "1", "kinesisSchemaVersion": "1.0"
        },
    });
    check::<KinesisEvent>(
        &json!({ "Records": [record, record] }),
        &expect![[r#"
            pubsub
            messaging.batch.message_count=2
            messaging.destination.name="clicks"
            messaging.operation.name="process"
            messaging.operation.type="process"
            messaging.system="aws_kinesis"
        "#]],
    );
}

#[test]
fn changes_of_a_table_say_what_they_have_in_common() {
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
fn a_change_of_an_object_names_it() {
    check::<S3Event>(
        &json!({ "Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1",
            "eventTime": "2026-11-21T10:00:00+00:00", "eventName": "ObjectCreated:Put",
            "userIdentity": { "principalId": "p" }, "requestParameters": { "sourceIPAddress": "i" },
            "responseElements": {}, "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "c",
                "bucket": { "name": "invoices", "ownerIdentity": { "principalId": "p" }, "arn": "a" },
                "object": { "key": "2026/11.pdf", "size": 1, "eTag": "e", "sequencer": "s" }
            }
        }] }),
        &expect![[r#"
            datasource
            faas.document.collection="invoices"
            faas.document.name="2026/11.pdf"
            faas.document.operation="insert"
            faas.document.time="2026-11-21T10:00:00+00:00"
        "#]],
    );
}

#[test]
fn a_load_balancer_s_query_is_encoded_already() {
    check::<AlbRequest>(
        &json!({
            "requestContext": { "elb": { "targetGroupArn": "a" } }, "httpMethod": "GET",
            "path": "/orders", "queryStringParameters": { "q": "a%20b" }, "isBase64Encoded": false,
            "headers": { "host": "shop.example:8443", "traceparent": PARENT, "x-forwarded-proto": "https" },
        }),
        &expect![[r#"
            http
            http.request.method="GET"
            server.address="shop.example"
            server.port=8443
            url.path="/orders"
            url.query="q=a%20b"
            url.scheme="https"
            parent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
        "#]],
    );
}

#[test]
fn a_web_socket_is_called_by_its_route_and_a_batch_of_kafka_by_its_topic() {
    let event = json!({ "requestContext": { "routeKey": "$connect", "connectionId": "c" },
        "headers": { "Traceparent": PARENT } });
    let extracted = event.extract_span_attributes();
    assert!(
        described(&extracted).starts_with("$connect: http\nhttp.route=\"$connect\"\nparent 00-")
    );
    let record = json!({ "topic": "clicks", "partition": 0, "offset": 1, "value": "eA==" });
    let event = json!({ "eventSource": "aws:kafka", "records": { "clicks-0": [record, record],
        "clicks-1": [record] } });
    expect![[r#"
        pubsub
        messaging.batch.message_count=3
        messaging.destination.name="clicks"
        messaging.operation.name="process"
        messaging.operation.type="process"
        messaging.system="kafka"
    "#]]
    .assert_eq(&described(&event.extract_span_attributes()));
    let other = json!({ "topic": "views" });
    let event = json!({ "records": { "clicks-0": [record], "views-0": [other, record] } });
    let described = described(&event.extract_span_attributes());
    assert!(described.contains("message_count=3") && !described.contains("destination"));
}

/// Events as services really send them, where the files are; each is described, and none as something else than it is.
#[test]
fn events_of_real_services_are_known_by_their_shape() {
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
        known += usize::from(expected != "other");
    }
    assert!(known >= 20, "{known}");
}
