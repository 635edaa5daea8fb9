//! Converts a document of X-Ray's SDKs to spans: a segment or subsegment, and the subsegments in it.
//!
//! HTTP and database calls have the names of OpenTelemetry's semantic conventions. Other attributes are those of the OpenTelemetry
//! Collector's `awsxrayreceiver`, so that queries for its spans apply. Fields unknown to both get the prefix `aws.xray.`.
//!
//! Source: AWS X-Ray Developer Guide, "X-Ray segment documents"; OpenTelemetry Collector contrib, `receiver/awsxrayreceiver`;
//! OpenTelemetry's semantic conventions 1.44, "HTTP spans" and "Database client spans".

use crate::attributes::{boolean, integer, string, strings};
use crate::aws_spans::{attributes, span_id, take, take_text, trace_id, within};
use crate::names;
use crate::read::crash::ExceptionRef;
use crate::read::fingerprint::fingerprint;
use crate::read::value::value_of;
use crate::spans::open_span::XRaySegment;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// W3C trace flags: sampled. SDKs send no other documents.
const SAMPLED: u32 = 1;

/// The latest time in seconds that fits nanoseconds of 64 bits.
const MAX_SECONDS: f64 = 1.8e10;

/// The content of a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct XRayDocument {
    pub ended: Vec<Span>,
    /// The spans in progress, which another document with the same ids completes.
    pub open: Vec<Span>,
    /// The name of a segment, which is a service of its own.
    pub service: Option<String>,
    /// The segment that a subsegment belongs to.
    pub segment: Option<XRaySegment>,
    /// Subsegments without a valid id, name or start, with all below them.
    pub refused: usize,
}

impl XRayDocument {
    /// Reads a document received at this Unix time in nanoseconds. Returns `None` if it is no segment or subsegment.
    pub fn read(document: &str, now: u64) -> Option<Self> {
        let Some(Value::Object(mut fields)) = value_of(document) else { return None };
        let trace = take(&mut fields, "trace_id", trace_id)?;
        let parent = take(&mut fields, "parent_id", span_id);
        let is_subsegment = fields.get("type").and_then(Value::as_str) == Some("subsegment");
        let mut read = Self::default();
        let mut waiting = vec![Segment { fields, parent: parent.clone(), is_subsegment }];
        while let Some(segment) = waiting.pop() {
            read.add(segment, &trace, now, &mut waiting);
        }
        let top = read.ended.first().or(read.open.first())?;
        if !is_subsegment {
            read.service = Some(top.name.clone());
        } else if let (Some(parent), Ok(trace)) = (parent, trace.try_into()) {
            let segment = |span_id| XRaySegment { trace_id: trace, span_id };
            read.segment = parent.try_into().ok().map(segment);
        }
        Some(read)
    }

    /// Adds a segment. The subsegments in it are added to `waiting`, the first one last.
    fn add(&mut self, segment: Segment, trace: &[u8], now: u64, waiting: &mut Vec<Segment>) {
        let Segment { mut fields, parent, is_subsegment } = segment;
        let Some(mut span) = span_of(&mut fields) else {
            self.refused += 1;
            return;
        };
        span.trace_id = trace.to_vec();
        span.parent_span_id = parent.unwrap_or_default();
        let below = fields.remove("subsegments");
        let stated_end = take(&mut fields, "end_time", unix_nanos);
        let is_open = take(&mut fields, "in_progress", Value::as_bool) == Some(true);
        let end = stated_end.filter(|_| !is_open);
        // Clocks of two languages may differ by less than a microsecond.
        span.end_time_unix_nano = end.unwrap_or(now).max(span.start_time_unix_nano);
        span.kind = if is_subsegment { SpanKind::Internal } else { SpanKind::Server } as i32;
        for key in ["trace_id", "parent_id", "type"] {
            fields.remove(key);
        }
        add_fields(&mut span, fields);
        let id = span.span_id.clone();
        if end.is_some() {
            self.ended.push(span);
        } else {
            span.attributes.push(boolean(names::PARTIAL, true));
            self.open.push(span);
        }
        let Some(Value::Array(below)) = below else { return };
        for fields in below.into_iter().rev() {
            match fields {
                Value::Object(fields) => {
                    let parent = Some(id.clone());
                    waiting.push(Segment { fields, parent, is_subsegment: true });
                }
                _ => self.refused += 1,
            }
        }
    }
}

/// A segment or subsegment that was not added yet.
struct Segment {
    fields: Map<String, Value>,
    parent: Option<Vec<u8>>,
    is_subsegment: bool,
}

/// The mandatory fields: id, name and start.
fn span_of(fields: &mut Map<String, Value>) -> Option<Span> {
    let id = take(fields, "id", span_id)?;
    let name = take_text(fields, "name")?;
    let start = take(fields, "start_time", unix_nanos)?;
    let mut span =
        Span { span_id: id, start_time_unix_nano: start, flags: SAMPLED, ..Span::default() };
    if fields.get("namespace").and_then(Value::as_str) == Some("aws") {
        span.attributes.push(string("aws.service", &name));
    }
    span.name = name;
    Some(span)
}

/// Reads seconds since 1970. Doubles have no more than microseconds at this size.
fn unix_nanos(seconds: &Value) -> Option<u64> {
    let seconds = seconds.as_f64().filter(|seconds| (0.0..MAX_SECONDS).contains(seconds))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked"
    )]
    let micros = (seconds * 1e6).round() as u64;
    Some(micros * 1000)
}

/// Status codes of HTTP from here on are errors.
const LEAST_HTTP_ERROR: i64 = 400;

/// Adds the fields of a document to its span. Unknown ones get the prefix `aws.xray.`.
fn add_fields(span: &mut Span, mut fields: Map<String, Value>) {
    let is_call = |name: &Value| match name.as_str()? {
        "aws" | "remote" => Some(true),
        // The SDK for Python marks the function's own code so.
        "local" => Some(false),
        _ => None,
    };
    if take(&mut fields, "namespace", is_call) == Some(true) {
        span.kind = SpanKind::Client as i32;
    }
    let mut is_error = false;
    for flag in ["error", "fault", "throttle"] {
        if take(&mut fields, flag, Value::as_bool) == Some(true) {
            is_error = true;
            span.attributes.push(boolean(&format!("aws.xray.{flag}"), true));
        }
    }
    let end = span.end_time_unix_nano;
    let all = &mut span.attributes;
    within(&mut fields, "http", |http| is_error |= add_http(http, all));
    within(&mut fields, "aws", |aws| {
        let name = |key: String| match key.as_str() {
            "retries" => "aws.xray.retries".to_owned(),
            _ => format!("aws.{key}"),
        };
        all.extend(attributes(std::mem::take(aws), name));
    });
    within(&mut fields, "sql", |sql| add_sql(sql, all));
    within(&mut fields, "annotations", |annotations| {
        let annotations = attributes(std::mem::take(annotations), |key| key);
        if !annotations.is_empty() {
            // Their names distinguish them from other attributes.
            let keys = annotations.iter().map(|annotation| annotation.key.as_str());
            all.push(strings("aws.xray.annotations", keys));
            all.extend(annotations);
        }
    });
    within(&mut fields, "metadata", |metadata| {
        let text = |(namespace, value): (String, Value)| {
            string(&format!("aws.xray.metadata.{namespace}"), value.to_string())
        };
        all.extend(std::mem::take(metadata).into_iter().map(text));
    });
    add_renamed(&mut fields, all, &[("user", "enduser.id")]);
    is_error |= fields.contains_key("cause");
    let mut message = String::new();
    within(&mut fields, "cause", |cause| {
        // They repeat the function's code.
        cause.remove("working_directory");
        cause.remove("paths");
        let Some(Value::Array(exceptions)) = cause.remove("exceptions") else { return };
        for (position, exception) in exceptions.into_iter().enumerate() {
            let Value::Object(mut exception) = exception else { continue };
            let text = |key| exception.get(key).and_then(Value::as_str).unwrap_or_default();
            if position == 0 {
                text("message").clone_into(&mut message);
                all.push(string(names::ERROR_TYPE, text("type")));
            }
            span.events.push(event_of(&mut exception, end));
        }
    });
    if is_error {
        span.status = Some(Status { code: StatusCode::Error as i32, message });
    }
    fields.retain(|_, value| !value.is_null());
    all.extend(attributes(fields, |key| format!("aws.xray.{key}")));
    // A key may be used once only, and an annotation may have any name.
    let mut seen = HashSet::new();
    all.retain(|attribute| seen.insert(attribute.key.clone()));
}

/// Moves the fields of these keys to attributes of these names.
fn add_renamed(fields: &mut Map<String, Value>, all: &mut Vec<KeyValue>, names: &[(&str, &str)]) {
    for (key, name) in names {
        let taken = fields.remove(*key).map(|value| Map::from_iter([((*key).to_owned(), value)]));
        all.extend(attributes(taken.unwrap_or_default(), |_| (*name).to_owned()));
    }
}

/// Returns `true` if the answer was an error.
fn add_http(http: &mut Map<String, Value>, all: &mut Vec<KeyValue>) -> bool {
    within(http, "request", |request| {
        let names = [
            ("method", "http.request.method"),
            ("client_ip", "client.address"),
            ("user_agent", "user_agent.original"),
            ("url", "url.full"),
            ("x_forwarded_for", "aws.xray.x_forwarded_for"),
        ];
        add_renamed(request, all, &names);
    });
    let mut is_error = false;
    within(http, "response", |response| {
        let status = response.get("status").and_then(Value::as_i64);
        is_error = status.is_some_and(|status| status >= LEAST_HTTP_ERROR);
        let names = [
            ("status", "http.response.status_code"),
            ("content_length", "http.response.body.size"),
        ];
        add_renamed(response, all, &names);
    });
    is_error
}

/// Names of databases in the conventions that differ from the lower-case name in documents.
const DATABASES: &[(&str, &str)] = &[
    ("microsoft sql server", "microsoft.sql_server"),
    ("oracle", "oracle.db"),
    ("sqlite3", "sqlite"),
];

fn add_sql(sql: &mut Map<String, Value>, all: &mut Vec<KeyValue>) {
    if let Some(system) = take_text(sql, "database_type") {
        let name = system.to_ascii_lowercase();
        let other = DATABASES.iter().find(|(documents, _)| *documents == name);
        all.push(string(
            "db.system.name",
            other.map_or(name.as_str(), |(_, conventions)| conventions),
        ));
    }
    if let Some(url) = take_text(sql, "url") {
        // Parameters may have a password.
        let url = url.split_once('?').map_or(url.as_str(), |(url, _)| url);
        match Database::of(url) {
            Some(database) => database.add_to(all),
            None => all.push(string("aws.xray.sql.url", url)),
        }
    }
    let names = [
        ("sanitized_query", "db.query.text"),
        ("connection_string", "aws.xray.sql.connection_string"),
        ("user", "aws.xray.sql.user"),
    ];
    add_renamed(sql, all, &names);
}

/// The place of a database, from a URL such as `postgresql://user@host:5432/name`.
struct Database<'a> {
    address: &'a str,
    port: Option<u16>,
    name: &'a str,
}

impl<'a> Database<'a> {
    /// Returns `None` for other URLs, such as that of a file.
    fn of(url: &'a str) -> Option<Self> {
        let (_, place) = url.split_once("://")?;
        let (server, name) = place.split_once('/').unwrap_or((place, ""));
        let host = server.rsplit_once('@').map_or(server, |(_, host)| host);
        let numbered =
            host.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let port = numbered.map(|(_, port)| port);
        let address = numbered
            .map_or(host, |(address, _)| address)
            .trim_start_matches('[')
            .trim_end_matches(']');
        (!address.is_empty()).then_some(Self { address, port, name })
    }

    fn add_to(&self, all: &mut Vec<KeyValue>) {
        all.push(string("server.address", self.address));
        all.extend(self.port.map(|port| integer("server.port", port.into())));
        if !self.name.is_empty() {
            all.push(string("db.namespace", self.name));
        }
    }
}

/// An exception as an event at the span's end.
fn event_of(exception: &mut Map<String, Value>, time_unix_nano: u64) -> Event {
    let stack = stack_of(exception);
    let text = |key| exception.get(key).and_then(Value::as_str);
    let fingerprint = text("type").map(|kind| {
        let message = text("message");
        fingerprint(ExceptionRef { kind, message, stacktrace: stack.as_deref() })
    });
    let mut all = Vec::new();
    let names = [("message", names::EXCEPTION_MESSAGE), ("type", names::EXCEPTION_TYPE)];
    add_renamed(exception, &mut all, &names);
    all.extend(stack.map(|stack| string(names::EXCEPTION_STACKTRACE, stack)));
    all.extend(fingerprint.map(|value| string(names::EXCEPTION_FINGERPRINT, value)));
    all.extend(attributes(std::mem::take(exception), |key| format!("aws.xray.exception.{key}")));
    Event { time_unix_nano, name: "exception".to_owned(), attributes: all, ..Event::default() }
}

fn stack_of(exception: &mut Map<String, Value>) -> Option<String> {
    let Some(Value::Array(frames)) = exception.remove("stack") else { return None };
    let text = |fields: &Map<String, Value>, key| match fields.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let mut stack = format!("{}: {}", text(exception, "type"), text(exception, "message"));
    for frame in frames.iter().filter_map(Value::as_object) {
        let [label, path, line] = ["label", "path", "line"].map(|key| text(frame, key));
        for part in ["\n\tat ", &label, "(", &path, ": ", &line, ")"] {
            stack.push_str(part);
        }
    }
    Some(stack)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{self, check_table};
    use expect_test::expect_file;
    use std::fmt::Write as _;

    const NOW: u64 = 1_795_384_600_000_000_000;

    #[test]
    fn xray_documents_become_spans() {
        check_table(&expect_file!["../fixtures/xray.txt"], |document| {
            let Some(read) = XRayDocument::read(document, NOW) else { return "-".to_owned() };
            let mut text = render::spans(&read.ended, 0, 32);
            for line in render::spans(&read.open, 0, 32).lines() {
                writeln!(text, "open: {line}").unwrap();
            }
            if read.refused > 0 {
                writeln!(text, "refused: {}", read.refused).unwrap();
            }
            if let Some(service) = read.service {
                writeln!(text, "service: {service}").unwrap();
            }
            if let Some(segment) = read.segment {
                writeln!(text, "segment: {}", wire::ids::to_hex(&segment.span_id)).unwrap();
            }
            text.trim_end().to_owned()
        });
    }

    #[test]
    fn a_deeply_nested_document_is_refused() {
        let deep = format!("{}{}", "{\"subsegments\":[".repeat(30_000), "]}".repeat(30_000));
        assert_eq!(XRayDocument::read(&deep, NOW), None);
    }
}
