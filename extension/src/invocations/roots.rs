//! Finds the spans of invocations among received spans.

use platform::{FunctionStatement, XRaySegment};
use wire::resource::SERVICE_NAME;
use wire::view::{Container, text_attribute};
use wire::{Request, SignalKind, SpanIds};

/// A span that may be the root of an invocation, or that names its invocation, whose log records get its ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReceivedSpan {
    /// The span's `faas.invocation_id`, if its instrumentation sets it.
    pub(crate) request_id: Option<String>,
    /// The ids of the span, without the request id.
    pub(crate) ids: SpanIds<'static>,
    /// What the span says about the end of its invocation.
    pub(crate) statement: Option<FunctionStatement>,
}

impl ReceivedSpan {
    /// Returns `true` for spans without a parent, and SERVER and CONSUMER spans. Inner spans may name the invocation too.
    pub(crate) fn is_root(&self) -> bool {
        self.ids.is_entry || self.ids.parent_span_id.is_none()
    }
}

/// A segment of Lambda's that a subsegment of the function names as its parent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceivedSegment {
    pub(crate) segment: XRaySegment,
    /// The start of the subsegment.
    pub(crate) start_unix_nano: u64,
}

/// The maximum number of roots in a request, and of other spans. Only managed instances run several invocations at a time.
const MAX_SPANS: usize = 64;

/// Returns the possible roots, and with `with_named` also other spans that name their invocation.
pub(crate) fn invocation_spans(request: &Request, with_named: bool) -> Vec<ReceivedSpan> {
    let mut roots = Vec::new();
    let mut others = Vec::new();
    if request.kind() != SignalKind::Traces {
        return roots;
    }
    let scopes = request.containers().flat_map(Container::scopes);
    let spans = scopes.flat_map(|scope| {
        let name = scope.name();
        scope.messages().filter_map(move |span| SpanIds::read(span, name))
    });
    for span in spans {
        let statement = FunctionStatement::from_span(&span);
        let SpanIds { trace_id, span_id, parent_span_id, is_entry, start_unix_nano, .. } = span;
        let request_id = span.request_id.map(str::to_owned);
        let ids = SpanIds {
            request_id: None,
            trace_id,
            span_id,
            parent_span_id,
            is_entry,
            start_unix_nano,
            error: None,
            complete_root_of: None,
        };
        let span = ReceivedSpan { request_id, ids, statement };
        if span.is_root() && roots.len() < MAX_SPANS {
            roots.push(span);
        } else if with_named && span.request_id.is_some() && others.len() < MAX_SPANS {
            others.push(span);
        }
    }
    roots.append(&mut others);
    roots
}

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
            let attribute = request_id.map(|id| string_attribute("faas.invocation_id", id));
            let attributes = attribute.into_iter().collect();
            let parent_span_id = parent.to_vec();
            let span = Span { parent_span_id, kind, attributes, ..span(vec![7; 8]) };
            let roots = invocation_spans(&traces(vec![span]), false);
            let found: Vec<_> = roots.iter().map(|root| root.request_id.as_deref()).collect();
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
        assert_eq!(invocation_spans(&traces(vec![span(vec![1; 7])]), true), []);
    }
}
