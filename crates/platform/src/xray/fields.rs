//! Converts the fields of a segment document to attributes, exceptions and the status of its span.

use std::collections::HashSet;

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::{Map, Value};

use crate::attributes::{attribute, boolean, string};
use crate::aws_spans::value::{attributes, take, take_text};
use crate::names;

/// Status codes of HTTP from here on are errors.
const LEAST_HTTP_ERROR: i64 = 400;

/// Adds the fields. Unknown ones get the prefix `aws.xray.`.
pub(super) fn add(span: &mut Span, mut fields: Map<String, Value>) {
    let is_call = |name: &Value| match name.as_str()? {
        "aws" | "remote" => Some(true),
        // What the SDK for Python calls the function's own code.
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
            all.push(keys_of(&annotations));
            all.extend(annotations);
        }
    });
    within(&mut fields, "metadata", |metadata| {
        let text = |(namespace, value): (String, Value)| {
            string(&format!("aws.xray.metadata.{namespace}"), value.to_string())
        };
        all.extend(std::mem::take(metadata).into_iter().map(text));
    });
    texts(&mut fields, all, &[("user", "enduser.id")]);
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

/// Lets `read` take fields out of an object, and removes the object if nothing remains.
fn within(fields: &mut Map<String, Value>, key: &str, read: impl FnOnce(&mut Map<String, Value>)) {
    if let Some(Value::Object(inner)) = fields.get_mut(key) {
        read(inner);
        if inner.is_empty() {
            fields.remove(key);
        }
    }
}

fn texts(fields: &mut Map<String, Value>, all: &mut Vec<KeyValue>, names: &[(&str, &str)]) {
    for (key, name) in names {
        all.extend(take_text(fields, key).map(|text| string(name, text)));
    }
}

fn others(fields: &mut Map<String, Value>, all: &mut Vec<KeyValue>, names: &[(&str, &str)]) {
    for (key, name) in names {
        let taken = fields.remove(*key).map(|value| Map::from_iter([((*key).to_owned(), value)]));
        all.extend(attributes(taken.unwrap_or_default(), |_| (*name).to_owned()));
    }
}

/// Returns `true` if the answer was an error.
fn add_http(http: &mut Map<String, Value>, all: &mut Vec<KeyValue>) -> bool {
    within(http, "request", |request| {
        let names = [
            ("method", "http.method"),
            ("client_ip", "http.client_ip"),
            ("user_agent", "http.user_agent"),
            ("url", "http.url"),
        ];
        texts(request, all, &names);
        others(request, all, &[("x_forwarded_for", "aws.xray.x_forwarded_for")]);
    });
    let mut is_error = false;
    within(http, "response", |response| {
        let status = response.get("status").and_then(Value::as_i64);
        is_error = status.is_some_and(|status| status >= LEAST_HTTP_ERROR);
        let names =
            [("status", "http.status_code"), ("content_length", "http.response_content_length")];
        others(response, all, &names);
    });
    is_error
}

fn add_sql(sql: &mut Map<String, Value>, all: &mut Vec<KeyValue>) {
    if let Some(url) = take_text(sql, "url") {
        // protocol://host:port/database?parameters
        let without = url.split_once('?').map_or(url.as_str(), |(url, _)| url);
        let (server, database) = without
            .rsplit_once('/')
            .filter(|(server, database)| server.contains("://") && !database.is_empty())
            .unwrap_or((without, ""));
        all.push(string("db.connection_string", server));
        if !database.is_empty() {
            all.push(string("db.name", database));
        }
    }
    let names = [
        ("connection_string", "db.connection_string"),
        ("database_type", "db.system"),
        ("sanitized_query", "db.statement"),
        ("user", "db.user"),
    ];
    texts(sql, all, &names);
}

/// The names of the annotations, by which they are told from other attributes.
fn keys_of(annotations: &[KeyValue]) -> KeyValue {
    let key = |annotation: &KeyValue| AnyValue {
        value: Some(any_value::Value::StringValue(annotation.key.clone())),
    };
    let values = annotations.iter().map(key).collect();
    attribute("aws.xray.annotations", any_value::Value::ArrayValue(ArrayValue { values }))
}

/// An exception as an event at the span's end.
fn event_of(exception: &mut Map<String, Value>, time_unix_nano: u64) -> Event {
    let stack = stack_of(exception);
    let mut all = Vec::new();
    let names = [("message", "exception.message"), ("type", "exception.type")];
    texts(exception, &mut all, &names);
    all.extend(stack.map(|stack| string("exception.stacktrace", stack)));
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
