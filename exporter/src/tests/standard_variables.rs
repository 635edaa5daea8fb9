//! Variables of the OpenTelemetry specification: disabled exporters, limits of attributes, `OTEL_SDK_DISABLED`.

use super::driver::{Function, Records, Written, event, shown, shown_value};
use super::triggers::PARENT;
use expect_test::expect;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Link, Span as _, SpanContext, TraceFlags, TraceState, Tracer as _};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value as Attribute};
use opentelemetry_proto::tonic::common::v1 as proto;
use serde_json::{Value, json};
use std::collections::HashMap;

/// One invocation with a span, a record and a measurement; it responds with the headers of an outgoing request.
fn invoke(function: &Function, payload: Value) -> (Value, Written) {
    let telemetry = function.completion.telemetry.clone();
    function.completion.meter("test").u64_counter("orders").build().add(1, &[]);
    let handler = move |_| {
        let mut headers = HashMap::<String, String>::new();
        tracing::info_span!("store").in_scope(|| {
            tracing::info!("stored");
            telemetry.propagation.inject_context(&Context::current(), &mut headers);
        });
        std::future::ready(Ok(json!(headers)))
    };
    let result = function.handle(event(payload), handler).unwrap();
    (result, function.written())
}

#[test]
fn an_exporter_set_to_none_suppresses_its_signals_lines() {
    let check = |variable: (&str, &str), expected: (usize, usize, usize)| {
        let (sent, written) = invoke(&Function::with_variables(&[variable]), json!({}));
        let counts = (written.spans.len(), written.logs.len(), written.metrics.len());
        assert_eq!(counts, expected, "{variable:?}");
        assert!(sent["traceparent"].is_string(), "the context is sent on all the same: {sent}");
    };
    check(("OTEL_TRACES_EXPORTER", "none"), (0, 1, 1));
    check(("OTEL_LOGS_EXPORTER", "none"), (2, 0, 1));
    check(("OTEL_METRICS_EXPORTER", "none"), (2, 1, 0));
    check(("OTEL_TRACES_EXPORTER", "otlp"), (2, 1, 1));
    check(("OTEL_TRACES_EXPORTER", "zipkin"), (2, 1, 1));
}

/// An extension would make the invocation's span a child of an unwritten root.
#[test]
fn no_root_record_is_written_without_a_traces_exporter() {
    let records = Records::new("none");
    for variable in [("OTEL_TRACES_EXPORTER", "none"), ("OTEL_SDK_DISABLED", "true")] {
        let function = Function::with_variables(&[records.variable(), variable]);
        invoke(&function, json!({ "headers": { "traceparent": PARENT } }));
        assert_eq!(records.read(), b"", "{variable:?}");
    }
}

#[test]
fn a_disabled_sdk_forwards_the_callers_context_unchanged() {
    let function = Function::with_variables(&[("OTEL_SDK_DISABLED", "TRUE")]);
    let headers = json!({ "traceparent": PARENT, "baggage": "tenant=a" });
    let (sent, written) = invoke(&function, json!({ "headers": headers }));
    assert_eq!(
        (sent["traceparent"].as_str(), &sent["baggage"]),
        (Some(PARENT), &json!("tenant=a"))
    );
    assert_eq!(written.lines.len(), 0);
    let (sent, _) = invoke(&function, json!({}));
    assert_eq!(sent.get("traceparent"), None, "no ids of spans that do not exist");
    // Only `true` disables it.
    let (_, written) = invoke(&Function::with_variables(&[("OTEL_SDK_DISABLED", "1")]), json!({}));
    assert_eq!(written.lines.len(), 3);
}

/// The SDK's default name, which [`Written::read`] refuses.
#[test]
fn the_function_name_replaces_an_unknown_service_name_in_lines() {
    let function = Function::with_variables(&[("OTEL_SERVICE_NAME", "unknown_service")]);
    function.invoke_with_all_signals();
    assert_eq!(function.written().lines.len(), 3);
}

/// A span with an event and a link, and a log record, with more and longer attributes than the limits allow.
fn limited(variables: &[(&str, &str)]) -> Written {
    let function = Function::with_variables(variables);
    let attributes = || {
        let texts = Array::String(vec![StringValue::from("größer"), StringValue::from("b")]);
        vec![
            KeyValue::new("text", "größer"),
            KeyValue::new("texts", Attribute::Array(texts)),
            KeyValue::new("number", 123_456),
        ]
    };
    let tracer = function.completion.telemetry.tracer.clone();
    let builder = tracer.span_builder("limited").with_attributes(attributes());
    let sampled = TraceFlags::SAMPLED;
    let state = TraceState::default();
    let other = SpanContext::new(7.into(), 9.into(), sampled, true, state);
    let link = Link::new(other, attributes(), 0);
    let mut span = tracer.build(builder.with_links(vec![link.clone(), link]));
    span.add_event("first", attributes());
    span.add_event("second", attributes());
    drop(span);
    let logger = function.completion.logger_provider().logger("own");
    let mut record = logger.create_log_record();
    record.set_body(AnyValue::from("größer"));
    record.add_attribute("text", "größer");
    record.add_attribute("bytes", AnyValue::Bytes(Box::new(vec![1, 2, 3, 4])));
    record.add_attribute("list", AnyValue::ListAny(Box::new(vec!["größer".into()])));
    logger.emit(record);
    function.completion.complete();
    function.written()
}

/// The span, its events and links, and the record: the first of each with its attributes, and numbers of dropped ones.
fn shown_limited(written: &Written) -> String {
    let of = |attributes: &[proto::KeyValue], dropped: u32| {
        format!("{}, {dropped} dropped\n", shown(attributes).trim_end().replace('\n', " "))
    };
    let span = &written.spans[0];
    let record = &written.logs[0];
    let event = &span.events[0];
    let link = &span.links[0];
    [
        format!("span: {}", of(&span.attributes, span.dropped_attributes_count)),
        format!("{} events, {} dropped: ", span.events.len(), span.dropped_events_count),
        of(&event.attributes, event.dropped_attributes_count),
        format!("{} links, {} dropped: ", span.links.len(), span.dropped_links_count),
        of(&link.attributes, link.dropped_attributes_count),
        format!("record {}: ", shown_value(record.body.as_ref().unwrap())),
        of(&record.attributes, record.dropped_attributes_count),
    ]
    .concat()
}

/// A specific limit takes precedence over the general one.
#[test]
fn attributes_respect_the_limits_of_the_environment() {
    let check = |variables: &[(&str, &str)], expected: expect_test::Expect| {
        expected.assert_eq(&shown_limited(&limited(variables)));
    };
    check(
        &[
            ("OTEL_ATTRIBUTE_COUNT_LIMIT", "1"),
            ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2"),
            ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "0"),
            ("OTEL_SPAN_EVENT_COUNT_LIMIT", "1"),
            ("OTEL_SPAN_LINK_COUNT_LIMIT", "1"),
            ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "2"),
        ],
        expect![[r#"
            span: text="größer" texts=["\"größer\"", "\"b\""], 1 dropped
            1 events, 1 dropped: , 3 dropped
            1 links, 1 dropped: text="größer", 2 dropped
            record "größer": bytes=BytesValue([1, 2, 3, 4]) text="größer", 1 dropped
        "#]],
    );
    check(
        &[
            ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3"),
            ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4"),
        ],
        expect![[r#"
            span: number=123456 text="grö" texts=["\"grö\"", "\"b\""], 0 dropped
            2 events, 0 dropped: number=123456 text="grö" texts=["\"grö\"", "\"b\""], 0 dropped
            2 links, 0 dropped: number=123456 text="grö" texts=["\"grö\"", "\"b\""], 0 dropped
            record "größer": bytes=BytesValue([1, 2, 3, 4]) list=["\"größ\""] text="größ", 0 dropped
        "#]],
    );
}
