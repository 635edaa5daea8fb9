//! Spans: ids, times and attribute names.

use super::gen_ai::GenAi;
use super::same_column::Columns;
use super::taken::{self, Taken};
use super::{adapt_resource, to_text};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
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
        let signal = &taken::SPANS;
        let resource = adapt_resource(&mut resource_spans.resource, fallback_service, signal);
        let taken = Taken::in_resource(signal, &resource.encoded);
        for scope_spans in &mut resource_spans.scope_spans {
            let scope = scope_spans.scope.as_ref().map_or("", |scope| &scope.name);
            scope_spans.spans.iter_mut().for_each(|span| adapt_span(span, scope, &taken));
        }
        renamed += resource.renamed + taken.renamed();
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

fn adapt_span(span: &mut Span, scope: &str, taken: &Taken<'_>) {
    // OpenObserve would compute a duration of nearly 2^64 µs for a span that ends before it starts, and distort every percentile
    // of durations.
    span.end_time_unix_nano = span.end_time_unix_nano.max(span.start_time_unix_nano);
    if !is_valid_parent(&span.parent_span_id) {
        span.parent_span_id.clear();
    }
    let gen_ai = GenAi::of_decoded(span, scope);
    let is_lost = |attribute: &KeyValue| gen_ai.loses(attribute);
    taken.adapt_but(&mut span.attributes, Columns::default(), is_lost);
    for event in &mut span.events {
        rename_fields(&mut event.attributes, EVENT_FIELDS, taken);
    }
    for link in &mut span.links {
        rename_fields(&mut link.attributes, LINK_FIELDS, taken);
    }
}

/// Fields other than the attributes in the JSON that OpenObserve stores for an event.
pub(super) const EVENT_FIELDS: &[&[u8]] = &[b"_timestamp", b"name"];

/// Fields other than the attributes in the JSON that OpenObserve stores for a link.
pub(super) const LINK_FIELDS: &[&[u8]] =
    &[b"context", b"droppedAttributesCount", b"dropped_attributes_count"];

/// Renames attributes of an event or link that a reader of the JSON would take for a field.
fn rename_fields(attributes: &mut [KeyValue], fields: &[&[u8]], taken: &Taken<'_>) {
    to_text(attributes);
    let is_field = |attribute: &KeyValue| fields.contains(&attribute.key.as_bytes());
    if attributes.iter().any(is_field) {
        taken.separate(attributes, Columns::default(), is_field);
    }
}

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
