//! Finds the spans that name their invocation.

use super::Request;
use crate::field::{span, status};
use crate::protobuf::{Value, fields};
use crate::resource::{EXCEPTION_FINGERPRINT, FAAS_INVOCATION_ID, PARTIAL};
use crate::signal::SignalKind;
use crate::view::{Container, Item, ItemKind, text_attribute};
use memchr::memmem::Finder;
use std::sync::LazyLock;

// A static, because creating a finder takes longer than one search.
static FIND_NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(FAAS_INVOCATION_ID));

static FIND_PARTIAL: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(PARTIAL));

/// The attribute `error.type` of OpenTelemetry's semantic conventions.
const ERROR_TYPE: &str = "error.type";

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
        for scope in self.containers().flat_map(Container::scopes) {
            for span in scope.messages() {
                let begin = span.as_ptr().addr() - begin;
                while names.next_if(|name| *name < begin).is_some() {}
                if names.peek().is_some_and(|name| *name < begin + span.len())
                    && let Some(span) = SpanIds::read(span, scope.name())
                    && let Some(request_id) = span.request_id
                {
                    take(request_id, span);
                }
            }
        }
    }

    /// Passes each record that our library made of a handler's error, with its request id.
    pub fn each_error_of_library(&self, take: &mut dyn FnMut(&str, SpanError<'_>)) {
        if self.kind != SignalKind::Logs {
            return;
        }
        let scopes = self.containers().flat_map(Container::scopes);
        for scope in scopes.filter(|scope| scope.name() == LIBRARY_SCOPE.as_bytes()) {
            for record in scope.messages() {
                let record = Item::new(ItemKind::LogRecord, record);
                let find = |key| record.attributes().find_map(|pair| text_attribute(pair, key));
                if let Some(request_id) = find(FAAS_INVOCATION_ID)
                    && let Some(error_type) = find("exception.type")
                    && find(EXCEPTION_FINGERPRINT).is_some()
                {
                    let message = find("exception.message").unwrap_or_default();
                    take(request_id, SpanError { error_type, message });
                }
            }
        }
    }
}

/// The scope of what Lambda's own events become.
pub const PLATFORM_SCOPE: &str = "lambda-otlp/platform";

/// The scope of our library.
pub const LIBRARY_SCOPE: &str = "lambda-otlp-exporter";

/// The scopes of the spans that our library and the layer's wrapper make of an invocation. They see its whole handler.
pub const FUNCTION_SCOPES: [&str; 2] = [LIBRARY_SCOPE, "lambda-otlp/handler"];

/// Who made the root span of an invocation, and thereby what its success means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootWriter {
    /// Our library saw the handler succeed. The runtime has not serialized the response yet.
    Library,
    /// The layer's wrapper saw the handler succeed, and serialized its result.
    Layer,
}

impl RootWriter {
    fn from_scope(name: &[u8]) -> Option<Self> {
        let [library, layer] = FUNCTION_SCOPES.map(str::as_bytes);
        match name {
            _ if name == library => Some(Self::Library),
            _ if name == layer => Some(Self::Layer),
            _ => None,
        }
    }
}

/// The ids of a span, and what distinguishes the span of an invocation from others.
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
    /// `error.type` and the status message of a span with the status ERROR: an entry span, or the layer's span below it, which has
    /// what Lambda told the layer.
    pub error: Option<SpanError<'a>>,
    /// The writer of a complete entry span of ours; `None` for all other spans.
    pub complete_root_of: Option<RootWriter>,
}

/// The failure that a span or a record states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanError<'a> {
    pub error_type: &'a str,
    pub message: &'a str,
}

impl<'a> SpanError<'a> {
    /// Reads a span; `None` unless its status is ERROR and it has an error type.
    fn of(span: &'a [u8], status: &'a [u8]) -> Option<Self> {
        const ERROR: u64 = 2;
        let has_failed = fields(status).any(|field| {
            field.number == status::CODE && matches!(field.value, Value::Varint(ERROR))
        });
        if !has_failed {
            return None;
        }
        let message = fields(status).find_map(|field| match field.value {
            Value::Len(text) if field.number == status::MESSAGE => std::str::from_utf8(text).ok(),
            _ => None,
        });
        let error_type = fields(span).find_map(|field| match field.value {
            Value::Len(attribute) if field.number == span::ATTRIBUTES => {
                text_attribute(attribute, ERROR_TYPE)
            }
            _ => None,
        })?;
        Some(Self { error_type, message: message.unwrap_or_default() })
    }
}

impl<'a> SpanIds<'a> {
    /// Reads an encoded span of a scope with this name; `None` if an id is invalid.
    pub fn read(bytes: &'a [u8], scope_name: &[u8]) -> Option<Self> {
        const SERVER: u64 = 2;
        const CONSUMER: u64 = 5;
        let mut trace_id = None;
        let mut span_id = None;
        let mut parent_span_id = None;
        let mut request_id = None;
        let mut is_entry = false;
        let mut start_unix_nano = 0;
        let mut status: Option<&[u8]> = None;
        for field in fields(bytes) {
            match (field.number, field.value) {
                (span::TRACE_ID, Value::Len(id)) => trace_id = valid(id),
                (span::SPAN_ID, Value::Len(id)) => span_id = valid(id),
                (span::PARENT_SPAN_ID, Value::Len(id)) => parent_span_id = valid(id),
                (span::KIND, Value::Varint(kind)) => is_entry = kind == SERVER || kind == CONSUMER,
                (span::START_TIME, Value::Fixed64(start)) => start_unix_nano = start,
                (span::STATUS, Value::Len(bytes)) => status = Some(bytes),
                (span::ATTRIBUTES, Value::Len(attribute)) if request_id.is_none() => {
                    request_id = text_attribute(attribute, FAAS_INVOCATION_ID);
                }
                _ => {}
            }
        }
        let request_id = request_id.filter(|id| !id.is_empty());
        let trace_id = trace_id?;
        let span_id = span_id?;
        let may_state_end = is_entry || scope_name == PLATFORM_SCOPE.as_bytes();
        let error =
            status.filter(|_| may_state_end).and_then(|status| SpanError::of(bytes, status));
        let complete_root_of = if is_entry {
            RootWriter::from_scope(scope_name).filter(|_| !is_partial(bytes))
        } else {
            None
        };
        Some(Self {
            request_id,
            trace_id,
            span_id,
            parent_span_id,
            is_entry,
            start_unix_nano,
            error,
            complete_root_of,
        })
    }
}

/// Returns `true` if the span was open when the function wrote it. A span with these words elsewhere counts as one, which costs only
/// its statement that it ended well.
fn is_partial(span: &[u8]) -> bool {
    FIND_PARTIAL.find(span).is_some()
}

/// A valid id: the right length and not all zeros.
fn valid<const N: usize>(id: &[u8]) -> Option<[u8; N]> {
    <[u8; N]>::try_from(id).ok().filter(|id| *id != [0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Limits;

    #[test]
    fn spans_with_an_invocation_id_are_found() {
        let check = |spans: &str, expected: &[(&str, Option<[u8; 8]>, bool)]| {
            let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
            let kind = SignalKind::Traces;
            let limits = Limits::default();
            let request = Request::from_json(kind, json.as_bytes(), &limits).unwrap();
            let mut found = Vec::new();
            request.each_invocation_span(&mut |request_id, span| {
                assert_eq!((span.trace_id, span.span_id), ([1; 16], [2; 8]));
                found.push((request_id.to_owned(), span.parent_span_id, span.is_entry));
            });
            let found: Vec<_> =
                found.iter().map(|(id, at, entry)| (id.as_str(), *at, *entry)).collect();
            assert_eq!(found, expected, "{spans}");
        };
        let ids = r#""traceId":"01010101010101010101010101010101","spanId":"0202020202020202""#;
        let span = |more: &str, key: &str, value: &str| {
            let others =
                [r#"{"key":"faas.coldstart","value":{"boolValue":true}}"#, r#"{"key":"x"}"#];
            let attribute = format!(r#"{{"key":"{key}","value":{{{value}}}}}"#);
            let [before, after] = others;
            format!(r#"{{{more},"attributes":[{before},{attribute},{after}]}}"#)
        };
        let key = FAAS_INVOCATION_ID;
        let r_1 = r#""stringValue":"r-1""#;
        let named = span(&format!(r#"{ids},"kind":2"#), key, r_1);
        check(&named, &[("r-1", None, true)]);
        let child = span(&format!(r#"{ids},"kind":1,"parentSpanId":"0303030303030303""#), key, r_1);
        check(&child, &[("r-1", Some([3; 8]), false)]);
        let unnamed = format!(r#"{{{ids},"name":"{}"}}"#, "x".repeat(500));
        check(&format!("{unnamed},{named}"), &[("r-1", None, true)]);
        for none in [
            named.replace("0101", "0000"),
            named.replace("0202020202020202", "02020202020202"),
            unnamed,
            span(ids, key, r#""stringValue":"""#),
            span(ids, key, r#""intValue":"7""#),
            span(ids, "y", &format!(r#""stringValue":"{key}""#)),
            format!(r#"{{{ids},"name":"{key}"}}"#),
        ] {
            check(&none, &[]);
        }
    }
}
