//! Reads the lines of `aws/spans`, the log group in which X-Ray stores spans with CloudWatch Transaction Search: X-Ray's own
//! segments and subsegments, and spans received from AWS's OpenTelemetry distribution and by X-Ray's OTLP endpoint.
//!
//! A line is one span in a JSON form other than OTLP/JSON: ids in hex, kind and status as names, times in nanoseconds as numbers,
//! attributes as maps. The span keeps its resource. Fields unknown to OTLP become attributes: the members of `_aws.xray` with the
//! prefix `aws.xray.`, all others together as one JSON string.
//!
//! Source: CloudWatch User Guide, "Transaction Search" and "Spans" (lines can be subscribed to, and `PutLogEvents` cannot write
//! them). Public repositories with readers of real lines describe the fields.

use crate::attributes::{attribute, string, text};
use crate::names;
use crate::read::line::typed;
use crate::read::value::value_of;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The log group. Only AWS writes there, so a line of another group is never a span.
pub const SPANS_LOG_GROUP: &str = "aws/spans";

/// Maximum size of a line. X-Ray accepts segments of 64 kB and OTLP spans of 200 kB; a longer line is treated as an ordinary log
/// line, because a span can take ninety times its size in memory.
const MAX_LINE_BYTES: usize = 256 * 1024;

#[derive(Clone, Debug, PartialEq)]
pub enum SpanLine {
    Ended(Box<ResourceSpans>),
    /// A snapshot of an unfinished span. X-Ray writes the span again with the same id when it ends.
    InProgress,
    /// Another line, without ids or times.
    Other,
}

impl SpanLine {
    pub fn read(line: &str) -> Self {
        if line.len() > MAX_LINE_BYTES {
            return Self::Other;
        }
        let Some(Value::Object(mut fields)) = value_of(line) else { return Self::Other };
        let Some(span) = span_of(&mut fields) else { return Self::Other };
        if is_in_progress(&fields) {
            return Self::InProgress;
        }
        let Some(end) = take(&mut fields, "endTimeUnixNano", Value::as_u64) else {
            return Self::Other;
        };
        Self::Ended(Box::new(with_all_else(Span { end_time_unix_nano: end, ..span }, fields)))
    }
}

/// The mandatory fields of a span: ids and start.
fn span_of(fields: &mut Map<String, Value>) -> Option<Span> {
    Some(Span {
        trace_id: take(fields, "traceId", trace_id)?,
        span_id: take(fields, "spanId", span_id)?,
        start_time_unix_nano: take(fields, "startTimeUnixNano", Value::as_u64)?,
        ..Span::default()
    })
}

fn is_in_progress(fields: &Map<String, Value>) -> bool {
    let mark = fields.get("attributes").and_then(|all| all.get("aws.xray.inprogress"));
    mark == Some(&Value::Bool(true)) || fields.get("endTimeUnixNano") == Some(&Value::Null)
}

fn with_all_else(mut span: Span, mut fields: Map<String, Value>) -> ResourceSpans {
    // The times of start and end contain it.
    fields.remove("durationNano");
    span.parent_span_id = take(&mut fields, "parentSpanId", span_id).unwrap_or_default();
    span.trace_state = take_text(&mut fields, "traceState").unwrap_or_default();
    span.flags = take_u32(&mut fields, "flags");
    span.name = take_text(&mut fields, "name").unwrap_or_default();
    span.kind = take(&mut fields, "kind", kind).unwrap_or_default() as i32;
    span.attributes = take_attributes(&mut fields);
    span.dropped_attributes_count = take_u32(&mut fields, "droppedAttributesCount");
    span.events = take_all(&mut fields, "events", event);
    span.dropped_events_count = take_u32(&mut fields, "droppedEventsCount");
    span.links = take_all(&mut fields, "links", link);
    span.dropped_links_count = take_u32(&mut fields, "droppedLinksCount");
    span.status = take(&mut fields, "status", status);
    within(&mut fields, "_aws", |aws| {
        if let Some(Value::Object(xray)) = aws.remove("xray") {
            add_xray(&mut span, xray);
        }
    });
    let resource = take(&mut fields, "resource", |resource| {
        whole(resource, |fields| {
            Some(Resource { attributes: take_attributes(fields), ..Resource::default() })
        })
    });
    let scope = take(&mut fields, "scope", scope);
    fields.retain(|_, value| !is_nothing(value));
    if !fields.is_empty() {
        span.attributes.push(string(names::REST, Value::Object(fields).to_string()));
    }
    let scope_spans = ScopeSpans { scope, spans: vec![span], ..ScopeSpans::default() };
    ResourceSpans { resource, scope_spans: vec![scope_spans], ..ResourceSpans::default() }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn kind(value: &Value) -> Option<SpanKind> {
    SpanKind::from_str_name(&format!("SPAN_KIND_{}", value.as_str()?))
}

/// Reads an object, unless it has more than `read` takes.
fn whole<T>(value: &Value, read: impl FnOnce(&mut Map<String, Value>) -> Option<T>) -> Option<T> {
    let mut fields = value.as_object()?.clone();
    let read = read(&mut fields)?;
    fields.values().all(is_nothing).then_some(read)
}

fn status(value: &Value) -> Option<Status> {
    whole(value, |fields| {
        let read =
            |code: &Value| StatusCode::from_str_name(&format!("STATUS_CODE_{}", code.as_str()?));
        let code = take(fields, "code", read).unwrap_or_default() as i32;
        Some(Status { code, message: take_text(fields, "message").unwrap_or_default() })
    })
}

fn scope(value: &Value) -> Option<InstrumentationScope> {
    whole(value, |fields| {
        Some(InstrumentationScope {
            name: take_text(fields, "name").unwrap_or_default(),
            version: take_text(fields, "version").unwrap_or_default(),
            attributes: take_attributes(fields),
            ..InstrumentationScope::default()
        })
    })
}

fn event(value: &Value) -> Option<Event> {
    whole(value, |fields| {
        Some(Event {
            time_unix_nano: take(fields, "timeUnixNano", Value::as_u64)?,
            name: take_text(fields, "name").unwrap_or_default(),
            attributes: take_attributes(fields),
            dropped_attributes_count: take_u32(fields, "droppedAttributesCount"),
        })
    })
}

fn link(value: &Value) -> Option<Link> {
    whole(value, |fields| {
        Some(Link {
            trace_id: take(fields, "traceId", trace_id)?,
            span_id: take(fields, "spanId", span_id)?,
            trace_state: take_text(fields, "traceState").unwrap_or_default(),
            attributes: take_attributes(fields),
            dropped_attributes_count: take_u32(fields, "droppedAttributesCount"),
            flags: take_u32(fields, "flags"),
        })
    })
}

fn take_all<T>(
    fields: &mut Map<String, Value>,
    key: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Vec<T> {
    take(fields, key, |all| all.as_array()?.iter().map(read).collect()).unwrap_or_default()
}

/// Adds X-Ray's fields of a segment, `type`, `name`, `namespace`, `cause` and others, except those that the span's attributes have
/// already. A subsegment's span has no name of its own, and only these fields contain its error.
fn add_xray(span: &mut Span, mut xray: Map<String, Value>) {
    if span.name.is_empty()
        && let Some(name) = xray.get("name").and_then(Value::as_str)
    {
        name.clone_into(&mut span.name);
    }
    let cause = xray.get("cause").and_then(|cause| cause.get("message")?.as_str());
    if let (Some(status), Some(cause)) = (&mut span.status, cause)
        && status.code == StatusCode::Error as i32
        && status.message.is_empty()
    {
        cause.clone_into(&mut status.message);
    }
    for own in span.attributes.iter().filter_map(|own| own.key.strip_prefix("aws.xray.")) {
        xray.remove(own);
    }
    span.attributes.extend(attributes(xray, |key| format!("aws.xray.{key}")));
}

/// Maximum length of a chain of parents. X-Ray nests subsegments a few levels deep; the bound also ends circles.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Default)]
pub struct Segments {
    /// The service of each span, or its parent.
    spans: HashMap<StoredSpanId, DocumentPlace>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct StoredSpanId {
    trace_id: Vec<u8>,
    span_id: Vec<u8>,
}

#[derive(Debug)]
enum DocumentPlace {
    Service(String),
    Below(Vec<u8>),
}

impl Segments {
    /// Adds a line's span. Returns `true` for a subsegment without a service, which [`Segments::name`] may resolve after all
    /// lines.
    pub fn observe(&mut self, line: &ResourceSpans) -> bool {
        let Some(span) = span_in(line) else { return false };
        let place = match service_of(line) {
            Some(service) => DocumentPlace::Service(service.to_owned()),
            None if is_subsegment(span) => DocumentPlace::Below(span.parent_span_id.clone()),
            None => return false,
        };
        let is_unnamed = matches!(place, DocumentPlace::Below(_));
        let id = StoredSpanId { trace_id: span.trace_id.clone(), span_id: span.span_id.clone() };
        self.spans.insert(id, place);
        is_unnamed
    }

    /// Names the service of a subsegment, if its segment was among the lines.
    pub fn name(&self, line: &mut ResourceSpans) {
        let Some(service) = span_in(line).and_then(|span| self.service(span)) else { return };
        let attribute = string(names::SERVICE_NAME, service);
        line.resource.get_or_insert_default().attributes.push(attribute);
    }

    fn service(&self, span: &Span) -> Option<&str> {
        let mut id =
            StoredSpanId { trace_id: span.trace_id.clone(), span_id: span.parent_span_id.clone() };
        for _ in 0..MAX_DEPTH {
            match self.spans.get(&id)? {
                DocumentPlace::Service(service) => return Some(service),
                DocumentPlace::Below(parent) => id.span_id.clone_from(parent),
            }
        }
        None
    }
}

fn span_in(line: &ResourceSpans) -> Option<&Span> {
    line.scope_spans.first()?.spans.first()
}

fn service_of(line: &ResourceSpans) -> Option<&str> {
    text(&line.resource.as_ref()?.attributes, names::SERVICE_NAME).filter(|name| !name.is_empty())
}

fn is_subsegment(span: &Span) -> bool {
    text(&span.attributes, "aws.xray.type") == Some("subsegment")
}

/// Lets `read` take fields out of an object, and removes the object if nothing remains.
pub(crate) fn within(
    fields: &mut Map<String, Value>,
    key: &str,
    read: impl FnOnce(&mut Map<String, Value>),
) {
    if let Some(Value::Object(inner)) = fields.get_mut(key) {
        read(inner);
        if inner.is_empty() {
            fields.remove(key);
        }
    }
}

/// Takes a field if `read` understands it.
pub(crate) fn take<T>(
    fields: &mut Map<String, Value>,
    key: &str,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Option<T> {
    let taken = read(fields.get(key)?)?;
    fields.remove(key);
    Some(taken)
}

pub(crate) fn take_text(fields: &mut Map<String, Value>, key: &str) -> Option<String> {
    take(fields, key, |value| value.as_str().map(str::to_owned))
}

/// A number with the default 0.
pub(crate) fn take_u32(fields: &mut Map<String, Value>, key: &str) -> u32 {
    take(fields, key, |value| value.as_u64()?.try_into().ok()).unwrap_or_default()
}

/// The map under `attributes`.
pub(crate) fn take_attributes(fields: &mut Map<String, Value>) -> Vec<KeyValue> {
    let mut read = Vec::new();
    within(fields, "attributes", |all| read = attributes(std::mem::take(all), |key| key));
    read
}

/// The members of a map, with keys converted by `key`. Null counts as absent.
pub(crate) fn attributes(all: Map<String, Value>, key: impl Fn(String) -> String) -> Vec<KeyValue> {
    all.into_iter()
        .filter_map(|(name, value)| {
            let raw = RawValue::from_string(value.to_string()).ok()?;
            Some(attribute(&key(name), typed(&raw, 0)?))
        })
        .collect()
}

/// A trace id in W3C's or X-Ray's notation.
pub(crate) fn trace_id(value: &Value) -> Option<Vec<u8>> {
    let text = value.as_str()?;
    wire::ids::id::<16>(text).or_else(|| wire::ids::xray_trace_id(text)).map(Vec::from)
}

pub(crate) fn span_id(value: &Value) -> Option<Vec<u8>> {
    wire::ids::id::<8>(value.as_str()?).map(Vec::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{self, check_table};
    use expect_test::expect_file;
    use std::fmt::Write as _;

    /// Lines made from the documented format, not written by AWS.
    const LINES: &str = include_str!("../fixtures/aws-spans.jsonl");

    /// A line, with changes of its text: `FROM -> TO`.
    fn changed<'c>(number: &str, changes: impl Iterator<Item = &'c str>) -> Option<String> {
        let line = LINES.lines().nth(number.parse().ok()?).unwrap().to_owned();
        Some(changes.fold(line, |line, change| {
            let (from, to) = change.split_once(" -> ").unwrap();
            assert!(line.contains(from), "{from}");
            line.replace(from, to.trim_matches('·'))
        }))
    }

    fn shown(line: &str) -> String {
        let spans = match SpanLine::read(line) {
            SpanLine::Ended(spans) => *spans,
            SpanLine::InProgress => return "in progress".to_owned(),
            SpanLine::Other => return "-".to_owned(),
        };
        let resource = spans.resource.unwrap_or_default();
        let scopes = &spans.scope_spans[0];
        let mut shown = render::spans(&scopes.spans, 0, 32);
        for Link { span_id, attributes, .. } in &scopes.spans[0].links {
            let id = wire::ids::to_hex(span_id);
            let attributes = render::attributes(attributes);
            writeln!(shown, "  link {id} {attributes}").unwrap();
        }
        if let Some(InstrumentationScope { name, version, .. }) = &scopes.scope {
            writeln!(shown, "scope {name} {version}").unwrap();
        }
        shown + "of " + &render::attributes(&resource.attributes)
    }

    #[test]
    fn lines_of_aws_spans_become_spans() {
        check_table(&expect_file!["../fixtures/aws-spans.txt"], |case| {
            if let Some(lines) = case.strip_prefix("services\n") {
                return services(lines);
            }
            let mut lines = case.lines();
            let number = lines.next().unwrap_or_default();
            let Some(changed) = changed(number, lines) else { return shown(case) };
            let original = LINES.lines().nth(number.parse().unwrap()).unwrap();
            if changed != original && SpanLine::read(&changed) == SpanLine::read(original) {
                return "the same".to_owned();
            }
            shown(&changed)
        });
    }

    #[test]
    fn overlong_and_deeply_nested_lines_are_no_spans() {
        let line = LINES.lines().next().unwrap().replace("blue", &"x".repeat(MAX_LINE_BYTES));
        for line in [line, "{\"a\":".repeat(10_000)] {
            assert_eq!(SpanLine::read(&line), SpanLine::Other);
        }
    }

    /// The services of these lines' spans; `+` marks a subsegment without a service.
    fn services(lines: &str) -> String {
        let mut segments = Segments::default();
        let mut spans: Vec<ResourceSpans> = Vec::new();
        let mut marks = Vec::new();
        for line in lines.lines() {
            let mut changes = line.split(", ");
            let line = changed(changes.next().unwrap(), changes).unwrap();
            let SpanLine::Ended(ended) = SpanLine::read(&line) else { panic!("{line}") };
            marks.push(if segments.observe(&ended) { "+" } else { "" });
            spans.push(*ended);
        }
        let named = spans.iter_mut().zip(marks).map(|(spans, mark)| {
            if !mark.is_empty() {
                segments.name(spans);
            }
            format!("{mark}{}", service_of(spans).unwrap_or_default())
        });
        named.collect::<Vec<_>>().join("\n")
    }
}
