//! Finds the spans that name their invocation.

use super::Request;
use crate::field::span;
use crate::protobuf::{Value, fields};
use crate::resource::FAAS_INVOCATION_ID;
use crate::signal::SignalKind;
use crate::view::text_attribute;
use memchr::memmem::Finder;
use std::sync::LazyLock;

// A static, because creating a finder takes longer than one search.
static FIND_NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(FAAS_INVOCATION_ID));

impl Request {
    /// Passes the request id and each span with valid ids that names its invocation; none for other signals. Requests and spans without the
    /// attribute's name are not parsed.
    pub fn each_invocation_span(&self, take: &mut dyn FnMut(&str, SpanIds<'_>)) {
        if self.kind != SignalKind::Traces {
            return;
        }
        // One search of the whole request, because usually one span of several has the name.
        let mut names = FIND_NAME.find_iter(&self.bytes).peekable();
        if names.peek().is_none() {
            return;
        }
        let begin = self.bytes.as_ptr().addr();
        for span in self.messages() {
            let begin = span.as_ptr().addr() - begin;
            while names.next_if(|name| *name < begin).is_some() {}
            if names.peek().is_some_and(|name| *name < begin + span.len())
                && let Some(span) = SpanIds::of(span)
                && let Some(request_id) = span.request_id
            {
                take(request_id, span);
            }
        }
    }
}

/// The ids of a span, and what tells the span of an invocation from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanIds<'a> {
    /// The attribute `faas.invocation_id`.
    pub request_id: Option<&'a str>,
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    pub parent_span_id: Option<[u8; 8]>,
    /// `true` if it serves an external request (SERVER, CONSUMER).
    pub is_entry: bool,
    pub start_unix_nano: u64,
}

impl<'a> SpanIds<'a> {
    /// Reads an encoded span; `None` if an id is invalid.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        const SERVER: u64 = 2;
        const CONSUMER: u64 = 5;
        let (mut trace_id, mut span_id, mut parent_span_id) = (None, None, None);
        let (mut request_id, mut is_entry, mut start_unix_nano) = (None, false, 0);
        for field in fields(bytes) {
            match (field.number, field.value) {
                (span::TRACE_ID, Value::Len(id)) => trace_id = valid(id),
                (span::SPAN_ID, Value::Len(id)) => span_id = valid(id),
                (span::PARENT_SPAN_ID, Value::Len(id)) => parent_span_id = valid(id),
                (span::KIND, Value::Varint(kind)) => is_entry = kind == SERVER || kind == CONSUMER,
                (span::START_TIME, Value::Fixed64(start)) => start_unix_nano = start,
                (span::ATTRIBUTES, Value::Len(attribute)) if request_id.is_none() => {
                    request_id = text_attribute(attribute, FAAS_INVOCATION_ID);
                }
                _ => {}
            }
        }
        let request_id = request_id.filter(|id| !id.is_empty());
        let (trace_id, span_id) = (trace_id?, span_id?);
        Some(Self { request_id, trace_id, span_id, parent_span_id, is_entry, start_unix_nano })
    }
}

/// A valid id: the right length and not all zeros.
fn valid<const N: usize>(id: &[u8]) -> Option<[u8; N]> {
    <[u8; N]>::try_from(id).ok().filter(|id| *id != [0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
    use opentelemetry_proto::tonic::trace::v1::Span;

    fn attribute(key: &str, value: any_value::Value) -> KeyValue {
        let value = Some(AnyValue { value: Some(value) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    /// The result for these spans: request id and parent.
    fn found(spans: Vec<Span>) -> Vec<(String, Option<[u8; 8]>, bool)> {
        let request = Request::of_spans(None, spans);
        let mut found = Vec::new();
        request.each_invocation_span(&mut |request_id, span| {
            assert_eq!((span.trace_id, span.span_id), ([1; 16], [2; 8]));
            found.push((request_id.to_owned(), span.parent_span_id, span.is_entry));
        });
        found
    }

    #[test]
    fn spans_with_an_invocation_id_are_found() {
        let text = |text: &str| any_value::Value::StringValue(text.to_owned());
        let named = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            attributes: vec![
                attribute("faas.coldstart", any_value::Value::BoolValue(true)),
                attribute(FAAS_INVOCATION_ID, text("r-1")),
                attribute("faas.trigger", text("http")),
            ],
            kind: 2,
            ..Span::default()
        };
        assert_eq!(found(vec![named.clone()]), [("r-1".to_owned(), None, true)]);
        let child = Span { parent_span_id: vec![3; 8], kind: 1, ..named.clone() };
        assert_eq!(found(vec![child]), [("r-1".to_owned(), Some([3; 8]), false)]);
        let unnamed = Span { name: "x".repeat(500), attributes: Vec::new(), ..named.clone() };
        assert_eq!(found(vec![unnamed, named.clone()]), [("r-1".to_owned(), None, true)]);
        let of = |key: &str, value| vec![attribute(key, value)];
        for none in [
            Span { trace_id: vec![0; 16], ..named.clone() },
            Span { span_id: vec![2; 7], ..named.clone() },
            Span { attributes: Vec::new(), ..named.clone() },
            Span { attributes: of(FAAS_INVOCATION_ID, text("")), ..named.clone() },
            Span {
                attributes: of(FAAS_INVOCATION_ID, any_value::Value::IntValue(7)),
                ..named.clone()
            },
            Span { attributes: of("x", text(FAAS_INVOCATION_ID)), ..named.clone() },
            Span { name: FAAS_INVOCATION_ID.to_owned(), attributes: Vec::new(), ..named },
        ] {
            assert_eq!(found(vec![none.clone()]), [], "{none:?}");
        }
    }
}
