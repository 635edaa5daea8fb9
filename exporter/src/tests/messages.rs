//! Messages of streams and brokers, and a span for each message of a batch.

use super::driver::{Function, attribute, event, shown, status};
use super::triggers::{PARENT, XRAY, trigger};
use crate::trigger::SpanAttributesExtractor;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_runtime::{Error, LambdaEvent};
use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt as _;
use serde_json::{Value, json};
use wire::ids::to_hex;

/// Each of these is nonsense or too expensive.
#[test]
fn oversized_or_mistyped_trace_context_is_ignored() {
    let links = |record: Value| {
        let extracted = json!({ "Records": [record] }).extract_span_attributes();
        extracted.links.len()
    };
    let queue = |attributes: Value, body: Value| {
        links(json!({ "eventSource": "aws:sqs", "messageAttributes": attributes, "body": body }))
    };
    for (bytes, expected) in [(200_000, 1), (300_000, 0)] {
        let body = json!({ "headers": { "traceparent": PARENT }, "x": "x".repeat(bytes) });
        let mut record = trigger("message-kinesis");
        record["kinesis"]["data"] = STANDARD.encode(body.to_string()).into();
        let found = [links(record), queue(json!({}), body.to_string().into())];
        assert_eq!(found, [expected; 2], "{bytes} bytes");
    }
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
    let mut record = trigger("message-kafka");
    record["headers"] = json!([{ "traceparent": vec![48; 100_000] }]);
    assert_eq!(record.extract_span_attributes().links.len(), 0);
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
    function.handle(event(trigger("sqs-batch")), handler).unwrap();
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

/// The fixtures have the attributes and links of both spans.
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
    let mut notification = trigger("sns");
    notification["Records"][0]["Sns"]["MessageAttributes"] = json!({
        "traceparent": { "Type": "String", "Value": PARENT },
        "baggage": { "Type": "String", "Value": "tenant=a" },
    });
    let failed = "error: 1 of the batch's messages failed; Lambda delivers them again";
    for has_layer in [true, false] {
        let function = if has_layer {
            Function::new()
        } else {
            Function::without_subscriber(&[], |config| config)
        };
        for (payload, expected) in
            [(trigger("sqs-batch"), failed), (notification.clone(), "error: a")]
        {
            function.handle(event(payload), handler).ok();
            let written = function.written();
            let root = written.span_named("orders");
            let consumer = written.span_named("orders process");
            assert_eq!((root.kind, root.links.len(), consumer.kind), (2, 0, 5));
            assert_eq!(
                (&consumer.trace_id, &consumer.parent_span_id),
                (&root.trace_id, &root.span_id)
            );
            assert_eq!([root, consumer].map(status), [expected; 2]);
            if has_layer {
                assert_eq!(written.span_named("below").parent_span_id, consumer.span_id);
            }
        }
    }
}
