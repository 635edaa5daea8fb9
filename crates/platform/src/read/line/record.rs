//! Makes the record of a line from its fields, and of a record that wraps another one.

use std::borrow::Cow;

use crate::metrics::emf;
use crate::names;
use crate::read::crash::{Exception, exception};
use crate::read::exceptions;
use crate::read::fields::Fields;
use crate::read::head::HeadOf;
use crate::read::ids::{TraceIds, is_uuid};
use crate::read::keys::Role;
use crate::read::line::field::{
    LineField, LineFields, Value, json_object, line_fields, object_fields,
};
use crate::read::line::found::{Best, FoundMessage, FoundValues, RankedValue};
use crate::read::line::reserved::is_reserved_field;
use crate::read::line::{FunctionLine, MAX_ATTRIBUTES, MAX_KEY_BYTES, text_line};
use crate::read::severity::{Severity, without_colours};
use wire::Depth;

pub(super) fn read_object(
    object: &str,
    is_lambda: bool,
    wrapped: Depth,
) -> Option<FunctionLine<'_>> {
    let fields = Fields::of(object)?;
    let emf_fields = fields.get(emf::line::KEY).is_some().then(|| fields.clone());
    let read = read_record(line_fields(fields), is_lambda, wrapped)?;
    Some(FunctionLine { emf_fields, ..read })
}

/// Reads the fields of an object, which may wrap another logger's record.
fn read_record(
    fields: LineFields<'_>,
    is_lambda: bool,
    wrapped: Depth,
) -> Option<FunctionLine<'_>> {
    let Some((outer, deeper)) = Wrapper::of(&fields).zip(wrapped.below()) else {
        return Some(read_fields(fields, is_lambda));
    };
    let value = &fields.get(outer.at)?.value;
    let text = value.text().map(|text| text.trim_end().to_owned());
    if let Some(inner) = inner_record(value) {
        let mut read = read_fields(merged(fields, outer.at, inner, is_lambda), is_lambda);
        read.message = read.message.or_else(|| text.map(Cow::Owned));
        return Some(read);
    }
    let mut read = read_fields(fields, is_lambda);
    if let Some(text) = text {
        let has_message = read.add_inner_text(&text, outer.holds, is_lambda, deeper);
        if !has_message && (outer.holds == HeadOf::Line || read.message.is_none()) {
            read.message = Some(text.into());
        }
    }
    Some(read)
}

/// The fields of a wrapped record that is an object, as JSON or in a text.
fn inner_record<'a>(value: &Value<'a>) -> Option<LineFields<'a>> {
    match value {
        Value::Json(Cow::Borrowed(raw)) => object_fields(raw.get()).filter(is_record),
        Value::Text(text) if text.starts_with('{') => {
            let fields = object_fields(text)?;
            Some(fields.into_iter().map(LineField::into_owned).collect())
        }
        _ => None,
    }
}

impl FunctionLine<'_> {
    /// Adds what a wrapped text states. Returns `true` if it has a message of its own, which replaces the outer one.
    fn add_inner_text(&mut self, text: &str, of: HeadOf, is_lambda: bool, wrapped: Depth) -> bool {
        let plain = without_colours(text);
        let inner = text_line(&plain, of, is_lambda, wrapped);
        self.severity = inner.severity.or(self.severity);
        self.trace = self.trace.or(inner.trace);
        // Lambda's own keys say more than the text.
        self.exception = self.exception.take().or(inner.exception);
        for (key, value) in inner.attributes {
            let is_new = !self.attributes.iter().any(|(taken, _)| *taken == key);
            if is_new && self.attributes.len() < MAX_ATTRIBUTES {
                self.attributes.push((Cow::Owned(key.into_owned()), value.into_owned()));
            }
        }
        let Some(message) = inner.message else { return false };
        self.message = Some(Cow::Owned(message.into_owned()));
        true
    }
}

/// The field that holds another logger's record.
struct Wrapper {
    at: usize,
    /// A whole line in Fluent Bit's `log`, and the message of a record by Lambda's own runtimes.
    holds: HeadOf,
}

impl Wrapper {
    fn of(fields: &LineFields<'_>) -> Option<Self> {
        let find = |role: Role| fields.iter().position(|field| field.is(role));
        let is_line = |field: &LineField<'_>| field.is(Role::Log) && field.value.text().is_some();
        let line = fields.iter().position(is_line);
        if let Some(at) = line.filter(|_| find(Role::Message).is_none()) {
            return Some(Self { at, holds: HeadOf::Line });
        }
        find(Role::RuntimeRequestId)?;
        Some(Self { at: find(Role::Message)?, holds: written_by_runtime(fields)? })
    }
}

/// What the message of a record is, if Lambda's own runtime wrote the record. Loggers write request ids under the same keys, and what
/// they state is not the message's to change: only a runtime gives INFO to whatever a function prints.
fn written_by_runtime(fields: &LineFields<'_>) -> Option<HeadOf> {
    const OWN: [&str; 10] = [
        "timestamp",
        "level",
        "message",
        "requestId",
        "AWSRequestId",
        "tenantId",
        "traceId",
        "errorType",
        "errorMessage",
        "stackTrace",
    ];
    // Of Python, whose records are all a logger's.
    const OF_LOGGER: [&str; 2] = ["logger", "location"];
    let is_own = |field: &LineField<'_>| {
        let text = field.value.text();
        match field.key.as_ref() {
            "requestId" | "AWSRequestId" => text.is_some_and(is_uuid),
            // `INFO`, and `Information` of .NET.
            "level" => {
                text.is_some_and(|level| level.starts_with(|c: char| c.is_ascii_uppercase()))
            }
            key => OWN.contains(&key),
        }
    };
    let is_of_logger = |field: &LineField<'_>| OF_LOGGER.contains(&field.key.as_ref());
    let has = |key: &str| fields.iter().any(|field| field.key == key);
    let is_written = fields.iter().all(|field| is_own(field) || is_of_logger(field))
        && has("timestamp")
        && has("level");
    let of = if fields.iter().any(is_of_logger) { HeadOf::LoggedMessage } else { HeadOf::Message };
    is_written.then_some(of)
}

/// Returns `true` if an object is a logger's record, and not data that a function logs.
fn is_record(fields: &LineFields<'_>) -> bool {
    let has = |role: Role| fields.iter().any(|field| field.is(role));
    // A number may be anything's level.
    let is_level = |field: &LineField<'_>| field.is(Role::Level) && field.value.text().is_some();
    has(Role::Message) || fields.iter().any(is_level) || has(Role::Level) && has(Role::Time)
}

/// The fields of the inner record, and those of the outer one that it does not replace.
fn merged<'a>(
    outer: LineFields<'a>,
    at: usize,
    inner: LineFields<'a>,
    is_lambda: bool,
) -> LineFields<'a> {
    let found = FoundValues::of(&inner, is_lambda);
    let is_replaced = |field: &LineField<'_>| {
        field.is(Role::Level) && found.level.is_found()
            || field.is(Role::Time) && found.time.is_found()
    };
    let outer = outer.into_iter().enumerate();
    let kept = outer.filter(|(position, field)| *position != at && !is_replaced(field));
    inner.into_iter().chain(kept.map(|(_, field)| field)).collect()
}

/// Moves the fields of an event from their object to the record, as tracing-subscriber and apex/log write them.
fn flatten(fields: &mut LineFields<'_>) {
    let is_object =
        |field: &LineField<'_>| field.key == "fields" && field.value.json_object().is_some();
    let Some(at) = fields.iter().position(is_object) else { return };
    if !fields.iter().any(|field| field.is(Role::Level)) {
        return;
    }
    let Some(LineField { value: Value::Json(Cow::Borrowed(raw)), .. }) = fields.get(at) else {
        return;
    };
    let Some(mut inner) = object_fields(raw.get()) else { return };
    for field in &mut inner {
        // Level and time are those of the record.
        let is_kept = |role: Role| role == Role::Message || role.is_error() || role.is_id();
        field.role = field.role.filter(|ranked| is_kept(ranked.role));
    }
    fields.remove(at);
    fields.extend(inner);
}

pub(super) fn read_fields(mut fields: LineFields<'_>, is_lambda: bool) -> FunctionLine<'_> {
    flatten(&mut fields);
    let found = FoundValues::of(&fields, is_lambda);
    let FoundValues {
        level,
        mut message,
        message_of_logger,
        request_id,
        trace,
        mut span,
        xray,
        ..
    } = found;
    let has_level = level.is_found();
    if let Some(RankedValue { rank, at, value }) = message_of_logger.found.filter(|_| has_level) {
        message.offer(rank, at, Some(value));
    }
    if !trace.is_found() {
        // OTLP's span id has no meaning without a trace id, so it stays an attribute.
        span = Best::default();
    }
    let tenant_at = found.tenant.position().filter(|_| found.is_of_runtime);
    let durable_at = found.durable.position();
    // The positions of the keys that become fields of the record, and no attributes.
    let lifted = [
        level.position(),
        message.position(),
        request_id.position(),
        trace.position(),
        span.position(),
        xray.position(),
        tenant_at,
        durable_at,
    ];
    let mut take_text = |at: Option<usize>| match &mut fields.get_mut(at?)?.value {
        Value::Text(text) => Some(std::mem::take(text)),
        Value::Json(_) => None,
    };
    let message_at = message.position();
    let stated_message = match message.value() {
        Some(FoundMessage::Copied(text)) => Some(Cow::Owned(text)),
        Some(FoundMessage::InField) => take_text(message_at),
        None => None,
    };
    let tenant_id = take_text(tenant_at);
    let durable_execution_arn = take_text(durable_at);
    let is_log = has_level || stated_message.is_some() || found.time.is_found();
    let of_fields = if found.errors.is_empty() {
        None
    } else {
        exceptions::take(&mut fields, &found.errors, is_log)
    };
    let exception = of_fields.or_else(|| exception_in_message(stated_message.as_deref()?));
    let message_of_exception = || exception.as_ref()?.message.clone().map(Cow::Owned);
    let message = stated_message.or_else(message_of_exception);
    // Lambda's library for Go writes no level.
    let severity = level.value().or(exception.as_ref().map(|_| Severity::ERROR));
    let span_id = span.value();
    let mut read = FunctionLine {
        time: found.time.value(),
        severity,
        message,
        request_id: request_id.value().map(Cow::Owned),
        trace: trace.value().map(|ids| TraceIds { span_id: span_id.or(ids.span_id), ..ids }),
        xray_trace_id: xray.value(),
        tenant_id,
        durable_execution_arn,
        exception: exception.map(Box::new),
        ..FunctionLine::default()
    };
    let mut rest = Vec::new();
    for (at, field) in fields.into_iter().enumerate() {
        if !field.is_taken && !lifted.contains(&Some(at)) {
            read.keep(field, &mut rest);
        }
    }
    if !rest.is_empty() {
        read.attributes.push((names::REST.into(), Value::Text(json_object(&rest).into())));
    }
    read
}

/// The exception in a message of several lines, such as Python's traceback.
fn exception_in_message(message: &str) -> Option<Exception> {
    memchr::memchr(b'\n', message.as_bytes())?;
    exception(message)
}

impl<'a> FunctionLine<'a> {
    /// Keeps a field as an attribute, or adds it to the fields that become one attribute together.
    fn keep(&mut self, field: LineField<'a>, rest: &mut LineFields<'a>) {
        let key = &field.key;
        let is_taken = self.attributes.iter().any(|(taken, _)| taken == key);
        let fits = (1..=MAX_KEY_BYTES).contains(&key.len());
        let is_reserved = is_reserved_field(key, &field.value);
        if is_taken || is_reserved || !fits || self.attributes.len() >= MAX_ATTRIBUTES {
            rest.push(field);
            return;
        }
        let is_null = matches!(&field.value, Value::Json(raw) if raw.get() == "null");
        if !is_null {
            self.attributes.push((field.key, field.value));
        }
    }
}
