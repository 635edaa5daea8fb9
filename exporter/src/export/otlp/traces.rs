//! Finished spans to `ExportTraceServiceRequest`.

use super::{EncodedResource, attributes, request};
use crate::export::unix_nanos;
use opentelemetry::trace::{Event, Link, SpanContext, SpanId, SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;
use wire::field::{event, link, span, status};
use wire::protobuf::Writer;

/// The request with these spans, with text attributes truncated to `value_length` characters; empty without spans.
pub(crate) fn traces<'a>(
    resource: &EncodedResource,
    spans: &'a [SpanData],
    value_length: usize,
) -> Vec<u8> {
    let scope_of =
        |span: &'a SpanData| (&span.instrumentation_scope, span.instrumentation_scope.name());
    request(resource, spans, 512, scope_of, |writer, span| self::span(writer, span, value_length))
}

fn span(writer: &mut Writer<'_>, span: &SpanData, value_length: usize) {
    let context = &span.span_context;
    writer.bytes(span::TRACE_ID, &context.trace_id().to_bytes());
    writer.bytes(span::SPAN_ID, &context.span_id().to_bytes());
    writer.string(span::TRACE_STATE, &context.trace_state().header());
    if span.parent_span_id != SpanId::INVALID {
        writer.bytes(span::PARENT_SPAN_ID, &span.parent_span_id.to_bytes());
    }
    writer.string(span::NAME, &span.name);
    writer.varint(span::KIND, kind(&span.span_kind));
    writer.fixed64(span::START_TIME, unix_nanos(span.start_time));
    writer.fixed64(span::END_TIME, unix_nanos(span.end_time));
    attributes(writer, span::ATTRIBUTES, &span.attributes, value_length);
    writer.varint(span::DROPPED_ATTRIBUTES_COUNT, u64::from(span.dropped_attributes_count));
    for event in &span.events.events {
        writer.message(span::EVENTS, |writer| self::event(writer, event, value_length));
    }
    writer.varint(span::DROPPED_EVENTS_COUNT, u64::from(span.events.dropped_count));
    for link in &span.links.links {
        writer.message(span::LINKS, |writer| self::link(writer, link, value_length));
    }
    writer.varint(span::DROPPED_LINKS_COUNT, u64::from(span.links.dropped_count));
    writer.message(span::STATUS, |writer| match &span.status {
        Status::Unset => {}
        Status::Ok => writer.varint(status::CODE, 1),
        Status::Error { description } => {
            writer.string(status::MESSAGE, description);
            writer.varint(status::CODE, 2);
        }
    });
    writer.fixed32(span::FLAGS, flags(context, span.parent_span_is_remote));
}

fn event(writer: &mut Writer<'_>, event: &Event, value_length: usize) {
    writer.fixed64(event::TIME, unix_nanos(event.timestamp));
    writer.string(event::NAME, &event.name);
    attributes(writer, event::ATTRIBUTES, &event.attributes, value_length);
    writer.varint(event::DROPPED_ATTRIBUTES_COUNT, u64::from(event.dropped_attributes_count));
}

fn link(writer: &mut Writer<'_>, link: &Link, value_length: usize) {
    let context = &link.span_context;
    writer.bytes(link::TRACE_ID, &context.trace_id().to_bytes());
    writer.bytes(link::SPAN_ID, &context.span_id().to_bytes());
    writer.string(link::TRACE_STATE, &context.trace_state().header());
    attributes(writer, link::ATTRIBUTES, &link.attributes, value_length);
    writer.varint(link::DROPPED_ATTRIBUTES_COUNT, u64::from(link.dropped_attributes_count));
    writer.fixed32(link::FLAGS, flags(context, context.is_remote()));
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
