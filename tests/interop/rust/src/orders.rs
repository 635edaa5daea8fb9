//! Spans with everything in them that a span can have; compiled once for each version of the SDK, which the
//! parent module names `api` and `sdk`.

use super::api::trace::{
    Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags,
    TraceId, TraceState, Tracer,
};
use super::api::{Array, Context, KeyValue, Value};

/// Makes a root with an event, a link, attributes of each type and three children, and a second root.
pub(super) fn take<T>(tracer: &T)
where
    T: Tracer,
    T::Span: Send + Sync + 'static,
{
    let linked = SpanContext::new(
        TraceId::from_bytes(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes()),
        SpanId::from_bytes(0xb7ad_6b71_6920_3331_u64.to_be_bytes()),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    let attributes = [
        KeyValue::new("order.id", "7"),
        KeyValue::new("paid", true),
        KeyValue::new("items", 3),
        KeyValue::new("largest", i64::MAX),
        KeyValue::new("smallest", i64::MIN),
        KeyValue::new("total", 12.5),
        KeyValue::new("tags", Value::Array(Array::String(vec!["a".into(), "b".into()]))),
        KeyValue::new("weights", Value::Array(Array::F64(vec![1.5, 2.25]))),
        KeyValue::new("unicode", "größe\n\0 🦀"),
        KeyValue::new("empty", ""),
    ];
    let root = tracer
        .span_builder("POST /orders/{id}")
        .with_kind(SpanKind::Server)
        .with_attributes(attributes)
        .with_links(vec![Link::new(linked, vec![KeyValue::new("why", "retry")], 0)]);
    let mut root = tracer.build_with_context(root, &Context::new());
    root.add_event("order.received", vec![KeyValue::new("attempt", 1)]);
    let context = Context::new().with_remote_span_context(root.span_context().clone());
    for child in 0..3 {
        let kind = if child % 2 == 0 { SpanKind::Client } else { SpanKind::Internal };
        let builder = tracer
            .span_builder(format!("reserve-{child}"))
            .with_kind(kind)
            .with_attributes([KeyValue::new("child", child)]);
        tracer.build_with_context(builder, &context).end();
    }
    root.set_status(Status::error("db down"));
    root.end();
    tracer.build_with_context(tracer.span_builder("alone"), &Context::new()).end();
}
