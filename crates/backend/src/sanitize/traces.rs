//! Spans: ids, times and attribute names.

use super::drop_reason::DropReason;
use super::taken::{self, Taken};
use super::{names, resource};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;

const TRACE_ID_BYTES: usize = 16;
const SPAN_ID_BYTES: usize = 8;

pub(super) fn shape(traces: &mut ExportTraceServiceRequest, fallback_service: &str) -> DropReason {
    for resource_spans in &mut traces.resource_spans {
        resource::shape(&mut resource_spans.resource, fallback_service, &names::SPAN_RESOURCE);
        let resource = resource_spans.resource.as_ref().map(prost::Message::encode_to_vec);
        let resource = resource.unwrap_or_default();
        let taken = Taken::in_resource(&taken::SPANS, &resource);
        for scope_spans in &mut resource_spans.scope_spans {
            scope_spans.spans.retain(|span| has_valid_ids(&span.trace_id, &span.span_id));
            scope_spans.spans.iter_mut().for_each(|span| shape_span(span, &taken));
        }
    }
    DropReason::InvalidId
}

fn shape_span(span: &mut Span, taken: &Taken<'_>) {
    // OpenObserve would compute a duration of nearly 2^64 µs for a span that ends before it starts, and every percentile
    // of durations would be wrong.
    span.end_time_unix_nano = span.end_time_unix_nano.max(span.start_time_unix_nano);
    if !is_valid_parent(&span.parent_span_id) {
        span.parent_span_id.clear();
    }
    taken.rename(&mut span.attributes);
}

pub(super) fn has_valid_ids(trace_id: &[u8], span_id: &[u8]) -> bool {
    trace_id.len() == TRACE_ID_BYTES && span_id.len() == SPAN_ID_BYTES
}

/// Whether this is no parent (empty) or the id of a span. With an id of zeros a root span would be shown as one whose parent
/// is missing.
pub(super) fn is_valid_parent(parent_span_id: &[u8]) -> bool {
    parent_span_id.is_empty()
        || (parent_span_id.len() == SPAN_ID_BYTES && parent_span_id.iter().any(|byte| *byte != 0))
}
