//! Variables of the OpenTelemetry specification: disabled exporters, limits of attributes, `OTEL_SDK_DISABLED`.

use super::driver::{Function, Records, Written, event, shown};
use expect_test::expect;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{TraceContextExt as _, Tracer as _};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value as Attribute};
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
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        invoke(&function, json!({ "headers": { "traceparent": traceparent } }));
        assert_eq!(records.read(), b"", "{variable:?}");
    }
}

#[test]
fn a_disabled_sdk_forwards_the_callers_context_unchanged() {
    let function = Function::with_variables(&[("OTEL_SDK_DISABLED", "TRUE")]);
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = json!({ "traceparent": traceparent, "baggage": "tenant=a" });
    let (sent, written) = invoke(&function, json!({ "headers": headers }));
    assert_eq!(
        (sent["traceparent"].as_str(), &sent["baggage"]),
        (Some(traceparent), &json!("tenant=a"))
    );
    assert_eq!(written.lines.len(), 0);
    let (sent, _) = invoke(&function, json!({}));
    assert_eq!(sent.get("traceparent"), None, "no ids of spans that do not exist");
    // Only `true` disables it.
    let (_, written) = invoke(&Function::with_variables(&[("OTEL_SDK_DISABLED", "1")]), json!({}));
    assert_eq!(written.lines.len(), 3);
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
    let other = Context::new().with_remote_span_context(opentelemetry::trace::SpanContext::new(
        7.into(),
        9.into(),
        opentelemetry::trace::TraceFlags::SAMPLED,
        true,
        opentelemetry::trace::TraceState::default(),
    ));
    let other = other.span().span_context().clone();
    let builder = tracer.span_builder("limited").with_attributes(attributes());
    let link = opentelemetry::trace::Link::new(other, attributes(), 0);
    let mut span = tracer.build(builder.with_links(vec![link.clone(), link]));
    opentelemetry::trace::Span::add_event(&mut span, "first", attributes());
    opentelemetry::trace::Span::add_event(&mut span, "second", attributes());
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

fn shown_limited(written: &Written) -> String {
    let span = &written.spans[0];
    let of_span = |count: usize, dropped: u32, attributes| {
        format!("{count} dropped={dropped}\n{}", shown(attributes))
    };
    let mut texts = vec![
        of_span(1, span.dropped_attributes_count, &span.attributes),
        format!("events dropped={}\n", span.dropped_events_count),
    ];
    texts.extend(span.events.first().map(|event| {
        of_span(span.events.len(), event.dropped_attributes_count, &event.attributes)
    }));
    texts.push(format!("links dropped={}\n", span.dropped_links_count));
    texts.extend(
        span.links
            .first()
            .map(|link| of_span(span.links.len(), link.dropped_attributes_count, &link.attributes)),
    );
    let record = &written.logs[0];
    let body = record.body.as_ref().unwrap().value.as_ref().unwrap();
    texts.push(format!("record {body:?}\n"));
    texts.push(of_span(1, record.dropped_attributes_count, &record.attributes));
    texts.concat()
}

#[test]
fn attributes_respect_the_limits_of_the_environment() {
    let check = |variables: &[(&str, &str)], expected: expect_test::Expect| {
        expected.assert_eq(&shown_limited(&limited(variables)));
    };
    check(
        &[("OTEL_ATTRIBUTE_COUNT_LIMIT", "1")],
        expect![[r#"
        1 dropped=2
        text="größer"
        events dropped=0
        2 dropped=2
        text="größer"
        links dropped=0
        2 dropped=2
        text="größer"
        record StringValue("größer")
        1 dropped=2
        text="größer"
    "#]],
    );
    check(
        &[
            ("OTEL_ATTRIBUTE_COUNT_LIMIT", "1"),
            ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2"),
            ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "0"),
            ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "2"),
            ("OTEL_SPAN_EVENT_COUNT_LIMIT", "1"),
            ("OTEL_SPAN_LINK_COUNT_LIMIT", "1"),
            ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "2"),
        ],
        expect![[r#"
            1 dropped=1
            text="größer"
            texts=ArrayValue(ArrayValue { values: [AnyValue { value: Some(StringValue("größer")) }, AnyValue { value: Some(StringValue("b")) }] })
            events dropped=1
            1 dropped=3
            links dropped=1
            1 dropped=1
            text="größer"
            texts=ArrayValue(ArrayValue { values: [AnyValue { value: Some(StringValue("größer")) }, AnyValue { value: Some(StringValue("b")) }] })
            record StringValue("größer")
            1 dropped=1
            bytes=BytesValue([1, 2, 3, 4])
            text="größer"
        "#]],
    );
    check(
        &[("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")],
        expect![[r#"
        1 dropped=0
        number=123456
        text="grö"
        texts=ArrayValue(ArrayValue { values: [AnyValue { value: Some(StringValue("grö")) }, AnyValue { value: Some(StringValue("b")) }] })
        events dropped=0
        2 dropped=0
        number=123456
        text="grö"
        texts=ArrayValue(ArrayValue { values: [AnyValue { value: Some(StringValue("grö")) }, AnyValue { value: Some(StringValue("b")) }] })
        links dropped=0
        2 dropped=0
        number=123456
        text="grö"
        texts=ArrayValue(ArrayValue { values: [AnyValue { value: Some(StringValue("grö")) }, AnyValue { value: Some(StringValue("b")) }] })
        record StringValue("größer")
        1 dropped=0
        bytes=BytesValue([1, 2, 3])
        list=ArrayValue(ArrayValue { values: [AnyValue { value: Some(StringValue("grö")) }] })
        text="grö"
    "#]],
    );
    check(
        &[
            ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3"),
            ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4"),
        ],
        expect![[r#"
            1 dropped=0
            number=123456
            text="grö"
            texts=ArrayValue(ArrayValue { values: [AnyValue { value: Some(StringValue("grö")) }, AnyValue { value: Some(StringValue("b")) }] })
            events dropped=0
            2 dropped=0
            number=123456
            text="grö"
            texts=ArrayValue(ArrayValue { values: [AnyValue { value: Some(StringValue("grö")) }, AnyValue { value: Some(StringValue("b")) }] })
            links dropped=0
            2 dropped=0
            number=123456
            text="grö"
            texts=ArrayValue(ArrayValue { values: [AnyValue { value: Some(StringValue("grö")) }, AnyValue { value: Some(StringValue("b")) }] })
            record StringValue("größer")
            1 dropped=0
            bytes=BytesValue([1, 2, 3, 4])
            list=ArrayValue(ArrayValue { values: [AnyValue { value: Some(StringValue("größ")) }] })
            text="größ"
        "#]],
    );
}
