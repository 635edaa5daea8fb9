//! Finds the function's root spans among received spans.

use wire::protobuf::{Reader, Value, messages};
use wire::{Request, SignalKind};

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
    messages(request.bytes(), CONTAINERS)
        .flat_map(|container| messages(container, SCOPES))
        .flat_map(|scope| messages(scope, ITEMS))
        .filter_map(root)
        .take(MAX_ROOTS)
        .collect()
}

fn root(span: &[u8]) -> Option<Root> {
    const SERVER: u64 = 2;
    const CONSUMER: u64 = 5;
    let (mut trace_id, mut span_id) = (None, None);
    let mut is_entry = false;
    let mut has_parent = false;
    let mut start_unix_nano = 0;
    let mut request_id = None;
    for field in Reader::new(span).map_while(Result::ok) {
        match (field.number, field.value) {
            (1, Value::Len(id)) => trace_id = id.try_into().ok(),
            (2, Value::Len(id)) => span_id = id.try_into().ok(),
            (4, Value::Len(id)) => has_parent = id.iter().any(|byte| *byte != 0),
            (6, Value::Varint(kind)) => is_entry = kind == SERVER || kind == CONSUMER,
            (7, Value::Fixed64(start)) => start_unix_nano = start,
            (9, Value::Len(attribute)) if request_id.is_none() => {
                request_id = string_attribute(attribute, wire::resource::FAAS_INVOCATION_ID);
            }
            _ => {}
        }
    }
    // Inner spans may name the invocation too.
    let is_root = is_entry || !has_parent;
    let (trace_id, span_id) = (trace_id?, span_id?);
    is_root.then_some(Root { request_id, trace_id, span_id, start_unix_nano })
}

/// Field numbers that the requests of all three signals share (`opentelemetry/proto/collector/*`).
pub(crate) const CONTAINERS: u32 = 1;
pub(crate) const SCOPES: u32 = 2;
pub(crate) const ITEMS: u32 = 2;

/// Returns the first `service.name`.
pub(crate) fn service_name(request: &Request) -> Option<String> {
    let mut resources =
        messages(request.bytes(), CONTAINERS).flat_map(|container| messages(container, 1));
    resources.find_map(|resource| {
        messages(resource, 1)
            .find_map(|attribute| string_attribute(attribute, wire::resource::SERVICE_NAME))
    })
}

/// Returns the string value of an attribute, if it has this key.
pub(crate) fn string_attribute(attribute: &[u8], key: &str) -> Option<String> {
    let mut fields = Reader::new(attribute).map_while(Result::ok);
    let is_it = fields.any(|field| field.number == 1 && field.as_len() == Some(key.as_bytes()));
    if !is_it {
        return None;
    }
    let value = messages(attribute, 2).next()?;
    let text = messages(value, 1).next()?;
    String::from_utf8(text.to_vec()).ok()
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
