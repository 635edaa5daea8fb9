//! The spans of the workload in an SDK's words; compiled once for each SDK, as `api` and `sdk`.

use super::{api, sdk};
use api::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use api::{InstrumentationScope, KeyValue, Value};
use lambda_otlp_bench::{Attribute, AttributeValue, Service, Span};
use sdk::Resource;
use sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::time::{Duration, UNIX_EPOCH};

pub fn resource(service: &Service) -> Resource {
    let attributes = service.resource().into_iter().map(key_value);
    Resource::builder_empty().with_attributes(attributes).build()
}

pub fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("bench").with_version("1.2.3").build()
}

pub fn span_data(span: Span, scope: &InstrumentationScope) -> SpanData {
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(span.trace_id.to_be_bytes()),
            SpanId::from_bytes(span.span_id.to_be_bytes()),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: SpanId::from_bytes(span.parent_span_id.to_be_bytes()),
        parent_span_is_remote: false,
        span_kind: if span.is_server { SpanKind::Server } else { SpanKind::Client },
        name: span.name.into(),
        start_time: UNIX_EPOCH + Duration::from_nanos(span.start_unix_nanos),
        end_time: UNIX_EPOCH + Duration::from_nanos(span.end_unix_nanos),
        attributes: span.attributes.into_iter().map(key_value).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if span.is_error { Status::error("internal error") } else { Status::Unset },
        instrumentation_scope: scope.clone(),
    }
}

fn key_value(attribute: Attribute) -> KeyValue {
    let value: Value = match attribute.value {
        AttributeValue::Text(text) => text.into(),
        AttributeValue::Integer(integer) => integer.into(),
    };
    KeyValue::new(attribute.key, value)
}
