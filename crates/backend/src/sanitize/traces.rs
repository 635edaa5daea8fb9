//! Spans: ids, times and attribute names.

use super::attributes::{AdaptedResource, ItemAdapter};
use super::gen_ai::GenAi;
use super::taken_columns::SPANS;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use wire::edit::{Edit, Editor};
use wire::field::span;
use wire::protobuf::messages;
use wire::view::Item;
use wire::{Request, SignalKind};

const TRACE_ID_BYTES: usize = 16;
const SPAN_ID_BYTES: usize = 8;

/// Returns the number of renamed keys.
pub(super) fn adapt(traces: &mut ExportTraceServiceRequest, fallback_service: &str) -> usize {
    let mut renamed = 0;
    for resource_spans in &mut traces.resource_spans {
        let resource = AdaptedResource::of(&mut resource_spans.resource, fallback_service, &SPANS);
        let mut adapter = resource.item_adapter();
        for scope_spans in &mut resource_spans.scope_spans {
            let scope = scope_spans.scope.as_ref().map_or("", |scope| &scope.name);
            for span in &mut scope_spans.spans {
                adapt_span(span, scope, &mut adapter);
            }
        }
        renamed += adapter.renamed();
    }
    renamed
}

/// The spans of a request by their ids.
pub(super) struct SpansByIds {
    pub(super) valid: Option<Request>,
    pub(super) invalid: Option<Request>,
}

/// Separates the spans with invalid ids, unchanged. OpenObserve rejects a wrong length with a text about retention, and joins all
/// spans with an all-zero trace id, invalid in OTLP, to one trace.
pub(super) fn separate_invalid_ids(request: Request) -> SpansByIds {
    if request.kind() != SignalKind::Traces || request.messages().all(is_valid) {
        return SpansByIds { valid: Some(request), invalid: None };
    }
    let invalid = request.clone().edit(&mut KeepSpans { with_valid_ids: false });
    let valid = request.edit(&mut KeepSpans { with_valid_ids: true });
    SpansByIds { valid, invalid }
}

/// Keeps the spans with valid ids, or those without.
struct KeepSpans {
    with_valid_ids: bool,
}

impl Editor for KeepSpans {
    fn item(&mut self, span: Item<'_>) -> Edit {
        if is_valid(span.bytes) == self.with_valid_ids { Edit::Keep } else { Edit::Drop }
    }
}

fn is_valid(span: &[u8]) -> bool {
    let id = |number| messages(span, number).last().unwrap_or_default();
    has_valid_ids(id(span::TRACE_ID), id(span::SPAN_ID))
}

fn adapt_span(span: &mut Span, scope: &str, adapter: &mut ItemAdapter<'_>) {
    // OpenObserve would compute a duration of nearly 2^64 µs for a span that ends before it starts, and distort every percentile
    // of durations.
    span.end_time_unix_nano = span.end_time_unix_nano.max(span.start_time_unix_nano);
    if !is_valid_parent(&span.parent_span_id) {
        span.parent_span_id.clear();
    }
    state_dropped_counts(span);
    let gen_ai = GenAi::of_decoded(span, scope);
    let is_lost = |attribute: &KeyValue| gen_ai.loses(attribute);
    adapter.adapt_excluding(&mut span.attributes, is_lost);
    for event in &mut span.events {
        adapter.adapt_beside_fields(&mut event.attributes, EVENT_FIELDS);
    }
    for link in &mut span.links {
        adapter.adapt_beside_fields(&mut link.attributes, LINK_FIELDS);
    }
}

/// Makes attributes of the numbers of what an SDK dropped, which OpenObserve does not store. The names are those that OpenTelemetry
/// has for exporters to other formats.
fn state_dropped_counts(span: &mut Span) {
    let counts = [
        ("otel.dropped_attributes_count", &mut span.dropped_attributes_count),
        ("otel.dropped_events_count", &mut span.dropped_events_count),
        ("otel.dropped_links_count", &mut span.dropped_links_count),
    ];
    for (key, field) in counts {
        let count = std::mem::take(field);
        if count > 0 && span.attributes.iter().all(|attribute| attribute.key != key) {
            let value = Some(AnyValue { value: Some(Value::IntValue(count.into())) });
            span.attributes.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() });
        }
    }
}

/// Fields other than the attributes in the JSON that OpenObserve stores for an event.
pub(super) const EVENT_FIELDS: &[&[u8]] = &[b"_timestamp", b"name"];

/// Fields other than the attributes in the JSON that OpenObserve stores for a link.
pub(super) const LINK_FIELDS: &[&[u8]] =
    &[b"context", b"droppedAttributesCount", b"dropped_attributes_count"];

pub(super) fn has_valid_ids(trace_id: &[u8], span_id: &[u8]) -> bool {
    is_id(trace_id, TRACE_ID_BYTES) && is_id(span_id, SPAN_ID_BYTES)
}

/// Returns `true` for an empty parent id and for a valid one. A root span with an all-zero parent would be shown as one whose
/// parent is missing.
pub(super) fn is_valid_parent(parent_span_id: &[u8]) -> bool {
    parent_span_id.is_empty() || is_id(parent_span_id, SPAN_ID_BYTES)
}

fn is_id(id: &[u8], length: usize) -> bool {
    id.len() == length && id.iter().any(|byte| *byte != 0)
}
