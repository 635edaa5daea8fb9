//! Reads the lines of `aws/spans`, the log group in which X-Ray stores spans with CloudWatch Transaction Search: X-Ray's own
//! segments and subsegments, and spans received from AWS's OpenTelemetry distribution and by X-Ray's OTLP endpoint.
//!
//! A line is one span in a JSON form other than OTLP/JSON: ids in hex, kind and status as names, times in nanoseconds as numbers,
//! attributes as maps. The span keeps its resource. Fields unknown to OTLP become attributes: the members of `_aws.xray` with the
//! prefix `aws.xray.`, all others together as one JSON string.
//!
//! Source: CloudWatch User Guide, "Transaction Search" and "Spans" (lines can be subscribed to, and `PutLogEvents` cannot write
//! them). Public repositories with readers of real lines describe the fields.

pub(crate) mod segments;
pub(crate) mod value;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde_json::{Map, Value};

use crate::attributes::string;
use crate::names;
use value::{attributes, moment, span_id, take, take_attributes, take_text, take_u32, trace_id};

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
        let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else { return Self::Other };
        let Some(span) = span_of(&mut fields) else { return Self::Other };
        if is_in_progress(&fields) {
            return Self::InProgress;
        }
        let Some(end) = end_of(&fields, span.start_time_unix_nano) else { return Self::Other };
        Self::Ended(Box::new(with_all_else(Span { end_time_unix_nano: end, ..span }, fields)))
    }
}

/// The mandatory fields of a span: ids and start.
fn span_of(fields: &mut Map<String, Value>) -> Option<Span> {
    Some(Span {
        trace_id: take(fields, "traceId", trace_id)?,
        span_id: take(fields, "spanId", span_id)?,
        start_time_unix_nano: take(fields, "startTimeUnixNano", moment)?,
        ..Span::default()
    })
}

fn is_in_progress(fields: &Map<String, Value>) -> bool {
    let mark = fields.get("attributes").and_then(|all| all.get("aws.xray.inprogress"));
    mark == Some(&Value::Bool(true)) || fields.get("endTimeUnixNano") == Some(&Value::Null)
}

fn end_of(fields: &Map<String, Value>, start: u64) -> Option<u64> {
    let end = fields.get("endTimeUnixNano").and_then(moment);
    let by_duration = || Some(start.saturating_add(moment(fields.get("durationNano")?)?));
    end.or_else(by_duration)
}

fn with_all_else(mut span: Span, mut fields: Map<String, Value>) -> ResourceSpans {
    // The span's end time already contains both.
    for key in ["endTimeUnixNano", "durationNano"] {
        take(&mut fields, key, moment);
    }
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
    if let Some(xray) = take(&mut fields, "_aws", xray) {
        let rest = add_xray(&mut span, xray);
        fields.insert("_aws".to_owned(), rest.into());
    }
    let resource = take(&mut fields, "resource", |resource| {
        let mut resource = resource.as_object()?.clone();
        let attributes = take_attributes(&mut resource);
        resource.is_empty().then_some(Resource { attributes, ..Resource::default() })
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

/// A name with or without OTLP's prefix, or OTLP's number.
fn named<T: Copy>(value: &Value, prefix: &str, names: &[(&str, T)]) -> Option<T> {
    if let Some(number) = value.as_u64() {
        return names.get(usize::try_from(number).ok()?).map(|(_, known)| *known);
    }
    let name = value.as_str()?;
    let name = name.strip_prefix(prefix).unwrap_or(name);
    names.iter().find(|(known, _)| *known == name).map(|(_, known)| *known)
}

fn kind(value: &Value) -> Option<SpanKind> {
    const KINDS: [(&str, SpanKind); 6] = [
        ("UNSPECIFIED", SpanKind::Unspecified),
        ("INTERNAL", SpanKind::Internal),
        ("SERVER", SpanKind::Server),
        ("CLIENT", SpanKind::Client),
        ("PRODUCER", SpanKind::Producer),
        ("CONSUMER", SpanKind::Consumer),
    ];
    named(value, "SPAN_KIND_", &KINDS)
}

fn status(value: &Value) -> Option<Status> {
    const CODES: [(&str, StatusCode); 3] =
        [("UNSET", StatusCode::Unset), ("OK", StatusCode::Ok), ("ERROR", StatusCode::Error)];
    let mut fields = value.as_object()?.clone();
    let code = match fields.remove("code") {
        None | Some(Value::Null) => StatusCode::Unset,
        Some(code) => named(&code, "STATUS_CODE_", &CODES)?,
    };
    let message = take_text(&mut fields, "message").unwrap_or_default();
    fields.values().all(is_nothing).then_some(Status { code: code as i32, message })
}

fn scope(value: &Value) -> Option<InstrumentationScope> {
    let mut fields = value.as_object()?.clone();
    let scope = InstrumentationScope {
        name: take_text(&mut fields, "name").unwrap_or_default(),
        version: take_text(&mut fields, "version").unwrap_or_default(),
        attributes: take_attributes(&mut fields),
        ..InstrumentationScope::default()
    };
    fields.values().all(is_nothing).then_some(scope)
}

fn event(value: &Value) -> Option<Event> {
    let mut fields = value.as_object()?.clone();
    let event = Event {
        time_unix_nano: take(&mut fields, "timeUnixNano", moment)?,
        name: take_text(&mut fields, "name").unwrap_or_default(),
        attributes: take_attributes(&mut fields),
        dropped_attributes_count: take_u32(&mut fields, "droppedAttributesCount"),
    };
    fields.values().all(is_nothing).then_some(event)
}

fn link(value: &Value) -> Option<Link> {
    let mut fields = value.as_object()?.clone();
    let link = Link {
        trace_id: take(&mut fields, "traceId", trace_id)?,
        span_id: take(&mut fields, "spanId", span_id)?,
        trace_state: take_text(&mut fields, "traceState").unwrap_or_default(),
        attributes: take_attributes(&mut fields),
        dropped_attributes_count: take_u32(&mut fields, "droppedAttributesCount"),
        flags: take_u32(&mut fields, "flags"),
    };
    fields.values().all(is_nothing).then_some(link)
}

fn take_all<T>(
    fields: &mut Map<String, Value>,
    key: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Vec<T> {
    let mut all = Vec::new();
    if let Some(Value::Array(values)) = fields.get_mut(key) {
        values.retain(|value| {
            let element = read(value);
            let is_kept = element.is_none();
            all.extend(element);
            is_kept
        });
    }
    all
}

/// X-Ray's fields of a segment: `type`, `name`, `namespace`, `cause` and others.
fn xray(value: &Value) -> Option<Map<String, Value>> {
    let fields = value.as_object()?;
    let only = fields.len() == 1;
    fields.get("xray").filter(|_| only)?.as_object().cloned()
}

/// Adds the segment's fields, and returns those whose attribute names the span already uses. A subsegment's span has no name of
/// its own, and only these fields contain its error.
fn add_xray(span: &mut Span, xray: Map<String, Value>) -> Map<String, Value> {
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
    let attribute_of = |key: &str| format!("aws.xray.{key}");
    let is_taken = |key: &str| {
        let taken = attribute_of(key);
        span.attributes.iter().any(|attribute: &KeyValue| attribute.key == taken)
    };
    let (taken, own): (Map<_, _>, Map<_, _>) = xray.into_iter().partition(|(key, _)| is_taken(key));
    span.attributes.extend(attributes(own, |key| attribute_of(&key)));
    taken
}

#[cfg(test)]
mod tests;
