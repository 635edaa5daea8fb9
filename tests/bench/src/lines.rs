//! The lines of our exporter.

use crate::{Attributes, Service, Span, Value};
use exporter::{InMemoryOutput, StdoutSpanExporter};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, UNIX_EPOCH};

/// A line for each invocation.
pub fn lines(
    service: &Service,
    invocations: impl IntoIterator<Item = Vec<Span>>,
) -> anyhow::Result<Vec<String>> {
    let output = Arc::new(InMemoryOutput::default());
    let mut exporter = StdoutSpanExporter::builder().with_output(output.clone()).build();
    exporter.set_resource(&resource(service));
    for spans in invocations {
        let export = pin!(exporter.export(spans.into_iter().map(span_data).collect()));
        match export.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result?,
            Poll::Pending => anyhow::bail!("the export waits for something"),
        }
    }
    Ok(output.take_lines())
}

fn resource(service: &Service) -> Resource {
    Resource::builder_empty().with_attributes(key_values(service.resource())).build()
}

fn span_data(span: Span) -> SpanData {
    let (scope, version) = span.scope;
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
        span_kind: match span.kind {
            "server" => SpanKind::Server,
            "client" => SpanKind::Client,
            "producer" => SpanKind::Producer,
            "consumer" => SpanKind::Consumer,
            _ => SpanKind::Internal,
        },
        name: span.name.into(),
        start_time: UNIX_EPOCH + Duration::from_nanos(span.start_unix_nanos),
        end_time: UNIX_EPOCH + Duration::from_nanos(span.end_unix_nanos),
        attributes: key_values(span.attributes),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if span.is_error { Status::error("internal error") } else { Status::Unset },
        instrumentation_scope: InstrumentationScope::builder(scope).with_version(version).build(),
    }
}

fn key_values(attributes: Attributes) -> Vec<KeyValue> {
    let attributes = attributes.into_iter().map(|(key, value)| match value {
        Value::Text(text) => KeyValue::new(key, text),
        Value::Integer(integer) => KeyValue::new(key, integer),
    });
    attributes.collect()
}
