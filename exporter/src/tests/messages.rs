//! Messages of streams and brokers, and a span for each message of a batch.

use super::driver::{Function, attribute, block_on, event, shown, status};
use super::triggers::{
    KafkaEvent, KinesisEvent, PARENT, XRAY, check, described, notification, queue_event,
};
use crate::handler::TracedHandler;
use crate::handler::trigger::SpanAttributesExtractor;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use expect_test::expect;
use lambda_runtime::{Error, LambdaEvent, Service as _};
use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::trace::SpanKind;
use serde_json::{Value, json};
use wire::ids::to_hex;

/// A record with `inject_json`.
fn injected() -> String {
    json!({ "headers": { "traceparent": PARENT }, "order": 7 }).to_string()
}

fn stream_record(number: u64, data: &str) -> Value {
    json!({
        "eventID": format!("shardId-0:{number}"), "eventName": "aws:kinesis:record",
        "eventVersion": "1.0", "eventSource": "aws:kinesis", "awsRegion": "eu-west-1",
        "invokeIdentityArn": "i",
        "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
        "kinesis": {
            "approximateArrivalTimestamp": 1.5, "data": STANDARD.encode(data), "partitionKey": "p",
            "sequenceNumber": number.to_string(), "kinesisSchemaVersion": "1.0"
        },
    })
}

#[test]
fn stream_records_link_to_the_spans_named_in_their_data() {
    let of_datadog = json!({ "_datadog": { "traceparent": PARENT.replace("b7ad", "aaaa") } });
    let records = [
        stream_record(1, &injected()),
        stream_record(2, "x"),
        stream_record(3, &of_datadog.to_string()),
        stream_record(4, "traceparent {"),
    ];
    check::<KinesisEvent>(
        &json!({ "Records": records }),
        &expect![[r#"
            pubsub
            messaging.batch.message_count=4
            messaging.destination.name="clicks"
            messaging.operation.name="process"
            messaging.operation.type="process"
            messaging.system="aws_kinesis"
            link 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 messaging.message.id=shardId-0:1
            link 0af7651916cd43dd8448eb211c80319c aaaa6b7169203331 messaging.message.id=shardId-0:3
        "#]],
    );
}

fn kafka_record(topic: &str, offset: i64, headers: &Value, value: &str) -> Value {
    json!({
        "topic": topic, "partition": 1, "offset": offset, "timestamp": 1_795_255_200_000_u64,
        "timestampType": "CREATE_TIME", "key": null, "value": STANDARD.encode(value), "headers": headers,
    })
}

#[test]
fn kafka_records_link_to_the_spans_in_headers_or_values() {
    let bytes = |text: &str| Value::from(text.as_bytes());
    let headers = json!([
        { "traceparent": bytes("overwritten") },
        { "image": [-1, -128, 127] },
        { "traceparent": bytes(PARENT) },
        { "tracestate": bytes("a=b") },
    ]);
    let mut event = json!({
        "eventSource": "aws:kafka", "eventSourceArn": "arn:aws:kafka:c", "bootstrapServers": "b",
        "records": { "clicks-1": [
            kafka_record("clicks", 101, &headers, "x"),
            kafka_record("clicks", 102, &json!([{ "traceparent": [-1] }]), &injected()),
            kafka_record("clicks", 103, &json!([]), "x"),
        ] },
    });
    check::<KafkaEvent>(
        &event,
        &expect![[r#"
            pubsub
            messaging.batch.message_count=3
            messaging.destination.name="clicks"
            messaging.operation.name="process"
            messaging.operation.type="process"
            messaging.system="kafka"
            link 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 messaging.destination.partition.id=1 messaging.kafka.offset=101
            link 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 messaging.destination.partition.id=1 messaging.kafka.offset=102
        "#]],
    );
    event["eventSource"] = "SelfManagedKafka".into();
    event["records"]["views-1"] = json!([kafka_record("views", 1, &json!([]), "x")]);
    let text = described(&event.extract_span_attributes());
    assert!(text.contains("message_count=4") && !text.contains("destination.name"), "{text}");
    let one = json!({ "records": { "clicks-1": [kafka_record("clicks", 7, &json!([]), "x")] } });
    let text = described(&one.extract_span_attributes());
    assert!(text.contains("messaging.kafka.offset=7\n") && !text.contains("count"), "{text}");
}

#[test]
fn broker_messages_link_to_the_spans_in_properties_or_data() {
    let event = json!({
        "eventSource": "aws:mq", "eventSourceArn": "arn:aws:mq:eu-west-1:123456789012:broker:b:c",
        "messages": [
            { "messageID": "ID:1", "destination": { "physicalName": "orders" }, "data": "eA==",
              "properties": { "traceparent": PARENT } },
            { "messageID": "ID:2", "destination": { "physicalName": "orders" },
              "data": STANDARD.encode(injected()), "properties": {} },
        ],
    });
    expect![[r#"
        pubsub
        messaging.batch.message_count=2
        messaging.destination.name="orders"
        messaging.operation.name="process"
        messaging.operation.type="process"
        messaging.system="activemq"
        link 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 messaging.message.id=ID:1
        link 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 messaging.message.id=ID:2
    "#]]
    .assert_eq(&described(&event.extract_span_attributes()));
    let headers = json!({ "traceparent": { "bytes": PARENT.as_bytes() }, "number": 10 });
    let event = json!({
        "eventSource": "aws:rmq", "eventSourceArn": "arn:aws:mq:eu-west-1:123456789012:broker:b:c",
        "rmqMessagesByQueue": { "orders::/": [
            { "basicProperties": { "messageId": null, "headers": headers }, "data": "eA==" },
        ] },
    });
    expect![[r#"
        pubsub
        messaging.destination.name="orders"
        messaging.operation.name="process"
        messaging.operation.type="process"
        messaging.system="rabbitmq"
        link 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331
    "#]]
    .assert_eq(&described(&event.extract_span_attributes()));
}

#[test]
fn firehose_records_and_ses_mails_are_messages() {
    let event = json!({
        "invocationId": "i", "region": "eu-west-1",
        "deliveryStreamArn": "arn:aws:firehose:eu-west-1:123456789012:deliverystream/clicks",
        "records": [{ "recordId": "r-1", "data": STANDARD.encode(injected()) }, { "recordId": "r-2" }],
    });
    expect![[r#"
        pubsub
        messaging.batch.message_count=2
        messaging.destination.name="clicks"
        messaging.operation.name="process"
        messaging.operation.type="process"
        messaging.system="aws_firehose"
        link 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 messaging.message.id=r-1
    "#]]
    .assert_eq(&described(&event.extract_span_attributes()));
    let mail = json!({ "Records": [{ "eventSource": "aws:ses", "ses": {
        "mail": { "messageId": "m-1", "source": "secret@example.com" }, "receipt": {}
    } }] });
    expect![[r#"
        pubsub
        messaging.message.id="m-1"
        messaging.operation.name="process"
        messaging.operation.type="process"
        messaging.system="aws_ses"
    "#]]
    .assert_eq(&described(&mail.extract_span_attributes()));
}

/// Each of these is nonsense or too expensive.
#[test]
fn oversized_or_mistyped_trace_context_is_ignored() {
    let links = |record: Value| {
        let extracted = json!({ "Records": [record] }).extract_span_attributes();
        extracted.links.len()
    };
    let padded = |bytes: usize| {
        json!({ "headers": { "traceparent": PARENT }, "x": "x".repeat(bytes) }).to_string()
    };
    assert_eq!(links(stream_record(1, &padded(200_000))), 1);
    assert_eq!(links(stream_record(1, &padded(300_000))), 0);
    let queue = |attributes: Value, body: Value| {
        links(json!({ "eventSource": "aws:sqs", "messageAttributes": attributes, "body": body }))
    };
    assert_eq!(queue(json!({}), padded(200_000).into()), 1);
    assert_eq!(queue(json!({}), padded(300_000).into()), 0);
    let nested = format!("{{\"traceparent\":{}", "[".repeat(100_000));
    assert_eq!(queue(json!({}), nested.into()), 0);
    for nonsense in
        [json!(null), json!(7), json!([7]), json!({}), json!({ "stringValue": [-1, "x"] })]
    {
        assert_eq!(queue(json!({ "traceparent": nonsense }), json!(7)), 0);
        assert_eq!(queue(nonsense, json!(null)), 0);
    }
    let long = json!({ "stringValue": "a".repeat(10_000) });
    let attributes = json!({ "traceparent": { "stringValue": PARENT }, "tracestate": long });
    let message = json!({ "eventSource": "aws:sqs", "messageAttributes": attributes });
    let carrier = message.extract_span_attributes().carrier.unwrap();
    assert_eq!(carrier.keys().collect::<Vec<_>>(), ["traceparent"]);
    let bytes = json!([{ "traceparent": vec![48; 100_000] }]);
    let event = json!({ "records": { "a-0": [kafka_record("a", 1, &bytes, "x")] } });
    assert_eq!(event.extract_span_attributes().links.len(), 0);
}

/// A notification within a queue that contains an event of a bus, with surrounding fields.
#[test]
fn the_innermost_envelope_supplies_the_trace_context() {
    let of_bus = json!({ "detail": { "traceparent": PARENT } }).to_string();
    let of_topic = json!({ "Type": "Notification", "Message": of_bus, "MessageAttributes": {} });
    let message = json!({ "eventSource": "aws:sqs", "body": of_topic.to_string() });
    let extracted = message.extract_span_attributes();
    assert_eq!(extracted.carrier.unwrap()["traceparent"], PARENT);
}

#[test]
fn a_single_message_yields_attributes_for_its_own_span() {
    let event = queue_event();
    expect![[r#"
        process orders: pubsub
        messaging.destination.name="orders"
        messaging.message.id="2"
        messaging.operation.name="process"
        messaging.operation.type="process"
        messaging.system="aws_sqs"
        link 5759e988bd862e3fe1be46a994272793 53995c3f42cd8ad8 messaging.message.id=2
        received at 2026-09-21T14:13:20.000Z
    "#]]
    .assert_eq(&described(&event["Records"][1].extract_span_attributes()));
    assert_eq!(
        event["Records"][1].extract_span_attributes().carrier.unwrap()["x-amzn-trace-id"],
        XRAY
    );
    let record = kafka_record("clicks", 7, &json!([{ "traceparent": PARENT.as_bytes() }]), "x");
    expect![[r#"
        process clicks: pubsub
        messaging.destination.name="clicks"
        messaging.destination.partition.id="1"
        messaging.kafka.offset=7
        messaging.operation.name="process"
        messaging.operation.type="process"
        messaging.system="kafka"
        parent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
        link 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 messaging.destination.partition.id=1 messaging.kafka.offset=7
    "#]]
    .assert_eq(&described(&record.extract_span_attributes()));
}

/// The messages of `aws_lambda_events` are described like those in JSON.
#[test]
#[cfg(all(feature = "sqs", feature = "sns", feature = "kinesis", feature = "kafka"))]
fn a_typed_message_yields_the_same_attributes_as_json() {
    fn check<T: serde::de::DeserializeOwned + SpanAttributesExtractor>(message: &Value) {
        let typed: T = serde_json::from_value(message.clone()).unwrap();
        let described_json = described(&message.extract_span_attributes());
        assert_eq!(described(&typed.extract_span_attributes()), described_json);
        assert!(described_json.starts_with("process "), "{described_json}");
    }
    for message in queue_event()["Records"].as_array().unwrap() {
        check::<aws_lambda_events::sqs::SqsMessage>(message);
    }
    check::<aws_lambda_events::kinesis::KinesisEventRecord>(&stream_record(1, &injected()));
    let headers = json!([{ "traceparent": PARENT.as_bytes() }]);
    check::<aws_lambda_events::kafka::KafkaRecord>(&kafka_record("clicks", 7, &headers, "x"));
    check::<aws_lambda_events::sns::SnsRecord>(&notification(&injected(), &json!({})));
}

/// X-Ray samples few requests, and its decision counts if `OTEL_PROPAGATORS` names it.
#[test]
fn a_message_unsampled_by_xray_follows_the_invocations_decision() {
    let check = |variables: &[(&str, &str)], expected: &[&str]| {
        let function = Function::with_variables(variables);
        let handler = |event: LambdaEvent<Value>| async move {
            let message = event.payload["Records"][0].extract_span_attributes();
            message.continued_span().in_scope(|| tracing::info_span!("below").in_scope(|| ()));
            Ok::<_, Error>(json!(null))
        };
        let header = XRAY.replace("Sampled=1", "Sampled=0");
        let message = json!({
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders",
            "messageId": "1",
            "attributes": { "AWSTraceHeader": header },
        });
        function.handle(event(json!({ "Records": [message] })), handler).unwrap();
        let written = function.written();
        assert_eq!(written.span_names(), expected, "{variables:?}");
        if let Some(continued) = written.spans.iter().find(|span| span.name == "process orders") {
            let trace_id = to_hex(&continued.trace_id);
            assert_eq!(trace_id, "5759e988bd862e3fe1be46a994272793");
        }
    };
    check(&[], &["below", "process orders", "orders process", "orders"]);
    check(&[("OTEL_TRACES_SAMPLER", "parentbased_always_off")], &[]);
}

#[test]
fn a_message_span_joins_the_invocations_or_the_senders_trace() {
    let function = Function::new();
    let handler = |event: LambdaEvent<Value>| async move {
        let messages = event.payload["Records"].as_array().unwrap();
        let own = tracing::info_span!("store order", otel.kind = "consumer");
        messages[0].extract_span_attributes().add_to(&own);
        drop(own);
        let continued = messages[0].extract_span_attributes().continued_span();
        continued.in_scope(|| tracing::info_span!("below").in_scope(|| ()));
        drop(continued);
        drop(json!({ "eventSource": "aws:sqs" }).extract_span_attributes().continued_span());
        Ok::<_, Error>(json!(null))
    };
    function.handle(event(queue_event()), handler).unwrap();
    let written = function.written();
    let invocation = written.span_named("orders process");
    let sender = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");

    let own = written.span_named("store order");
    assert_eq!((&own.trace_id, &own.parent_span_id), (&invocation.trace_id, &invocation.span_id));
    assert_eq!(attribute(own, "messaging.message.id").as_deref(), Some("\"1\""));
    let link = &own.links[0];
    assert_eq!((&*to_hex(&link.trace_id), &*to_hex(&link.span_id)), sender);
    assert_eq!(shown(&link.attributes), "messaging.message.id=\"1\"\n");

    let continued = written.span_named("process orders");
    assert_eq!((&*to_hex(&continued.trace_id), &*to_hex(&continued.parent_span_id)), sender);
    assert_eq!((continued.kind, own.kind, continued.links.len()), (5, 5, 1));
    assert_eq!(continued.links[0].span_id, invocation.span_id);
    assert_eq!(written.span_named("below").parent_span_id, continued.span_id);

    let without_sender = written.span_named("process message");
    assert_eq!(without_sender.parent_span_id, invocation.span_id);
    assert_eq!(without_sender.links.len(), 0);
}

#[test]
fn messages_get_a_consumer_span_between_root_and_handler_spans() {
    let handler = |event: LambdaEvent<Value>| async move {
        tracing::info_span!("below").in_scope(|| ());
        let tenant = Context::current().baggage().get("tenant").map(ToString::to_string);
        match &event.payload["Records"][0]["EventSource"] {
            Value::Null => Ok(json!({ "batchItemFailures": [{ "itemIdentifier": "2" }] })),
            _ => Err(Error::from(tenant.unwrap_or_default())),
        }
    };
    for function in [Function::new(), Function::without_subscriber(&[], |config| config)] {
        function.handle(event(queue_event()), handler).unwrap();
        let written = function.written();
        let (root, consumer) = (written.span_named("orders"), written.span_named("orders process"));
        assert_eq!((root.kind, root.links.len()), (2, 0));
        assert_eq!(attribute(root, "faas.trigger").as_deref(), Some("\"pubsub\""));
        assert_eq!(attribute(root, "messaging.system"), None);
        assert_eq!((consumer.kind, consumer.links.len()), (5, 4));
        assert_eq!((&consumer.trace_id, &consumer.parent_span_id), (&root.trace_id, &root.span_id));
        expect![[r#"
            error.type="batch_item_failures"
            messaging.batch.message_count=5
            messaging.destination.name="orders"
            messaging.operation.name="process"
            messaging.operation.type="process"
            messaging.system="aws_sqs"
        "#]]
        .assert_eq(&shown(&consumer.attributes));
        assert_eq!(
            status(consumer),
            "error: 1 of the batch's messages failed; Lambda delivers them again"
        );
        if let Some(below) = written.spans.iter().find(|span| span.name == "below") {
            assert_eq!(below.parent_span_id, consumer.span_id);
        }

        let headers = json!({
            "traceparent": { "Type": "String", "Value": PARENT },
            "baggage": { "Type": "String", "Value": "tenant=a" },
        });
        let notification = json!({ "Records": [notification("x", &headers)] });
        function.handle(event(notification), handler).unwrap_err();
        let written = function.written();
        let (root, consumer) = (written.span_named("orders"), written.span_named("orders process"));
        assert_eq!(to_hex(&root.parent_span_id), "b7ad6b7169203331");
        assert_eq!(consumer.parent_span_id, root.span_id);
        assert_eq!((status(root), status(consumer)), ("error: a".into(), "error: a".into()));
    }
}

#[test]
fn an_explicit_span_kind_prevents_the_extra_consumer_span() {
    let function = Function::new();
    let handler = |_: LambdaEvent<Value>| async { Ok::<_, Error>(json!(null)) };
    let mut handler = TracedHandler::new("orders", function.completion.clone(), handler)
        .with_kind(SpanKind::Consumer);
    block_on(handler.call(event(queue_event()))).unwrap();
    let span = function.span();
    assert_eq!((span.kind, span.links.len()), (5, 4));
    assert_eq!(attribute(&span, "messaging.destination.name").as_deref(), Some("\"orders\""));
}
