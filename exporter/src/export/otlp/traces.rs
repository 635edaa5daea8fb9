//! Finished spans to `ExportTraceServiceRequest`.

use super::EncodedResource;
use super::{attributes, scope};
use crate::clock::unix_nanos;
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::{Event, Link, SpanContext, SpanId, SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;
use wire::protobuf::Writer;

/// The request with these spans, with text attributes truncated to `value_length` characters; empty without spans.
pub(crate) fn traces(
    resource: &EncodedResource,
    spans: &[SpanData],
    value_length: usize,
) -> Vec<u8> {
    let mut request = Vec::with_capacity(512 * spans.len());
    if spans.is_empty() {
        return request;
    }
    let mut scopes: Vec<&InstrumentationScope> = Vec::new();
    for span in spans {
        if !scopes.contains(&&span.instrumentation_scope) {
            scopes.push(&span.instrumentation_scope);
        }
    }
    Writer::new(&mut request).message(1, |writer| {
        resource.write(writer, |writer| {
            for own in scopes {
                writer.message(2, |writer| {
                    scope(writer, own, None);
                    for span in spans.iter().filter(|span| span.instrumentation_scope == *own) {
                        writer.message(2, |writer| self::span(writer, span, value_length));
                    }
                    writer.string(3, own.schema_url().unwrap_or_default());
                });
            }
        });
    });
    request
}

fn span(writer: &mut Writer<'_>, span: &SpanData, value_length: usize) {
    let context = &span.span_context;
    writer.bytes(1, &context.trace_id().to_bytes());
    writer.bytes(2, &context.span_id().to_bytes());
    writer.string(3, &context.trace_state().header());
    if span.parent_span_id != SpanId::INVALID {
        writer.bytes(4, &span.parent_span_id.to_bytes());
    }
    writer.string(5, &span.name);
    writer.varint(6, kind(&span.span_kind));
    writer.fixed64(7, unix_nanos(span.start_time));
    writer.fixed64(8, unix_nanos(span.end_time));
    attributes(writer, 9, &span.attributes, value_length);
    writer.varint(10, u64::from(span.dropped_attributes_count));
    for event in &span.events.events {
        writer.message(11, |writer| self::event(writer, event, value_length));
    }
    writer.varint(12, u64::from(span.events.dropped_count));
    for link in &span.links.links {
        writer.message(13, |writer| self::link(writer, link, value_length));
    }
    writer.varint(14, u64::from(span.links.dropped_count));
    writer.message(15, |writer| match &span.status {
        Status::Unset => {}
        Status::Ok => writer.varint(3, 1),
        Status::Error { description } => {
            writer.string(2, description);
            writer.varint(3, 2);
        }
    });
    writer.fixed32(16, flags(context, span.parent_span_is_remote));
}

fn event(writer: &mut Writer<'_>, event: &Event, value_length: usize) {
    writer.fixed64(1, unix_nanos(event.timestamp));
    writer.string(2, &event.name);
    attributes(writer, 3, &event.attributes, value_length);
    writer.varint(4, u64::from(event.dropped_attributes_count));
}

fn link(writer: &mut Writer<'_>, link: &Link, value_length: usize) {
    let context = &link.span_context;
    writer.bytes(1, &context.trace_id().to_bytes());
    writer.bytes(2, &context.span_id().to_bytes());
    writer.string(3, &context.trace_state().header());
    attributes(writer, 4, &link.attributes, value_length);
    writer.varint(5, u64::from(link.dropped_attributes_count));
    writer.fixed32(6, flags(context, context.is_remote()));
}

fn kind(kind: &SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

/// The W3C flags, and the flag that it is known whether the parent (of a span) or the context (of a link) is remote.
fn flags(context: &SpanContext, is_remote: bool) -> u32 {
    const HAS_IS_REMOTE: u32 = 0x100;
    const IS_REMOTE: u32 = 0x200;
    let remote = if is_remote { IS_REMOTE } else { 0 };
    u32::from(context.trace_flags().to_u8()) | HAS_IS_REMOTE | remote
}
