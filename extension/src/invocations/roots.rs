//! Finds the function's root spans among received spans.

use wire::resource::SERVICE_NAME;
use wire::view::{Container, text_attribute};
use wire::{Request, SignalKind, SpanIds};

/// A possible root span of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    /// The span's `faas.invocation_id`, if its instrumentation sets it.
    pub(crate) request_id: Option<String>,
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    /// Unix time in nanoseconds.
    pub(crate) start_unix_nano: u64,
}

/// A span that names its invocation. The invocation's log records get its ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedSpan {
    pub(crate) request_id: String,
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) parent_span_id: Option<[u8; 8]>,
    pub(crate) is_entry: bool,
}

pub(crate) fn named_spans(request: &Request) -> Vec<NamedSpan> {
    let mut named = Vec::new();
    request.each_invocation_span(&mut |span| {
        if named.len() < MAX_ROOTS {
            named.push(NamedSpan {
                request_id: span.request_id.to_owned(),
                trace_id: span.trace_id,
                span_id: span.span_id,
                parent_span_id: span.parent_span_id,
                is_entry: span.is_entry,
            });
        }
    });
    named
}

/// The maximum number of roots in a request. Only managed instances run several invocations at a time.
const MAX_ROOTS: usize = 64;

/// Returns the possible roots: spans without a parent, and SERVER and CONSUMER spans.
pub(crate) fn roots(request: &Request) -> Vec<Root> {
    if request.kind() != SignalKind::Traces {
        return Vec::new();
    }
    request.messages().filter_map(root).take(MAX_ROOTS).collect()
}

fn root(span: &[u8]) -> Option<Root> {
    let SpanIds { request_id, trace_id, span_id, parent_span_id, is_entry, start_unix_nano } =
        SpanIds::of(span)?;
    // Inner spans may name the invocation too.
    let is_root = is_entry || parent_span_id.is_none();
    let request_id = request_id.map(str::to_owned);
    is_root.then_some(Root { request_id, trace_id, span_id, start_unix_nano })
}

/// Returns the first `service.name`.
pub(crate) fn service_name(request: &Request) -> Option<String> {
    let mut attributes = request.containers().flat_map(Container::attributes);
    attributes.find_map(|attribute| text_attribute(attribute, SERVICE_NAME)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_spans::{span, traces};
    use opentelemetry_proto::tonic::trace::v1::Span;
    use platform::string_attribute;

    #[test]
    fn root_spans_are_detected_by_parent_and_kind() {
        let check = |parent: &[u8], kind, request_id: Option<&str>, expected: Option<_>| {
            let attributes = request_id.map(|id| string_attribute("faas.invocation_id", id));
            let attributes = attributes.into_iter().collect();
            let parent_span_id = parent.to_vec();
            let span = Span { parent_span_id, kind, attributes, ..span(vec![7; 8]) };
            let found = roots(&traces(vec![span]));
            let found: Vec<_> = found.iter().map(|root| root.request_id.as_deref()).collect();
            assert_eq!(found, expected.as_slice(), "{parent:?} {kind} {request_id:?}");
        };
        check(&[], 1, None, Some(None));
        check(&[1; 8], 1, None, None);
        check(&[0; 8], 1, None, Some(None));
        check(&[1; 8], 2, None, Some(None));
        check(&[1; 8], 5, None, Some(None));
        check(&[1; 8], 3, None, None);
        check(&[], 2, Some("r-1"), Some(Some("r-1")));
        check(&[1; 8], 1, Some("r-1"), None);
        assert_eq!(roots(&traces(vec![span(vec![1; 7])])), []);
    }
}
