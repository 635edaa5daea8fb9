//! Reads the exception of a structured record: one table of the shapes in which loggers write one.
//!
//! A logger writes an exception as one value (`err`: an object, or the text of a stack trace), as keys next to the message
//! (`errorType`, `errorMessage`, `stackTrace`), or both. Values of `exception.*` leave the attributes; the other keys of an
//! object stay. Causes are not taken apart: they stay in the text of the stack trace, or in the rest of the object.
//!
//! Source: the documentation of each logger, and `tests/fixtures/logger-cases.jsonl`.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::read::crash::{self, Exception, is_type};
use crate::read::fields::{Elements, text_of};
use crate::read::keys::Role;
use crate::read::line::{
    LineField, LineFields, MAX_VALUE_BYTES, Value, json_object, object_fields,
};

/// The keys of an object that is an exception. The first one counts.
const KIND: [&str; 11] = [
    "exc_type",
    "type",
    "name",
    "class",
    "kind",
    "errorType",
    "exceptionType",
    "exception_class",
    "className",
    "Type",
    "ClassName",
];
const MESSAGE: [&str; 7] = [
    "exc_value",
    "message",
    "value",
    "errorMessage",
    "exception_message",
    "Message",
    "localizedMessage",
];
const STACK: [&str; 13] = [
    "stack",
    "stack_trace",
    "stackTrace",
    "stacktrace",
    "trace",
    "backtrace",
    "traceback",
    "extendedStackTrace",
    "StackTrace",
    "StackTraceString",
    "stepArray",
    "frames",
    "exception_stacktrace",
];

/// The parts of an exception that the keys of a record state.
#[derive(Default)]
struct ExceptionParts {
    kind: Option<String>,
    message: Option<String>,
    stack: Option<String>,
}

impl ExceptionParts {
    /// Returns `true` if no part of both differs, so that nothing is lost if they are combined. Powertools writes a class without
    /// its package, and the traceback beside it has both.
    fn agrees_with(&self, other: &Self) -> bool {
        let agree = |own: &Option<String>, other: &Option<String>| {
            own.is_none() || other.is_none() || own == other
        };
        let are_of_one_class = || {
            let (own, other) = self.kind.as_deref().zip(other.kind.as_deref()).unwrap_or_default();
            is_qualified(own, other) || is_qualified(other, own)
        };
        (agree(&self.kind, &other.kind) || are_of_one_class())
            && agree(&self.message, &other.message)
            && agree(&self.stack, &other.stack)
    }

    /// Fills what is missing. The name with its package says more.
    fn add(&mut self, other: Self) {
        let is_more =
            |own: &String| other.kind.as_ref().is_some_and(|kind| is_qualified(kind, own));
        self.kind = self.kind.take().filter(|own| !is_more(own)).or(other.kind);
        self.message = self.message.take().or(other.message);
        self.stack = self.stack.take().or(other.stack);
    }

    /// Takes type and message from the stack trace, if nothing else states them.
    fn read_stack(&mut self) {
        if self.kind.is_some() && self.message.is_some() {
            return;
        }
        if let Some(read) = self.stack.as_deref().and_then(of_text) {
            self.kind = self.kind.take().or(read.kind);
            self.message = self.message.take().or(read.message);
        }
    }
}

/// Returns `true` if the first name is the second one with its package, module or outer class.
fn is_qualified(name: &str, class: &str) -> bool {
    let package = name.strip_suffix(class);
    package.is_some_and(|package| package.ends_with(['.', ':', '\\', '$']))
}

/// A field from which an exception was read.
struct SourceField {
    /// The field's position.
    at: usize,
    /// The JSON of what else its value has.
    rest: Option<String>,
}

/// Takes the exception out of a record's fields. `candidates` are the positions of the keys that may state one. `is_log` is `false`
/// for data that has neither level, nor message, nor time: there only a stack trace, or Lambda's own keys, are an exception.
pub(crate) fn take(
    fields: &mut LineFields<'_>,
    candidates: &[usize],
    is_log: bool,
) -> Option<Exception> {
    let mut parts = ExceptionParts::default();
    let mut sources: Vec<SourceField> = Vec::new();
    for role in [Role::ErrorType, Role::ErrorMessage] {
        let is_of_role = |at: &&usize| fields.get(**at).is_some_and(|field| field.is(role));
        let Some(at) = candidates.iter().find(is_of_role) else { continue };
        let Some(text) = fields.get(*at).and_then(|field| field.value.text()) else { continue };
        let part = if role == Role::ErrorType { &mut parts.kind } else { &mut parts.message };
        *part = Some(text.to_owned());
        sources.push(SourceField { at: *at, rest: None });
    }
    let has_name = parts.kind.is_some();
    let has_name_and_message = has_name && parts.message.is_some();
    let mut has_value = false;
    for at in candidates {
        let Some(field) = fields.get(*at) else { continue };
        let found = match field.role() {
            Some(Role::Exception | Role::Message) => of_value(&field.value, is_log),
            Some(Role::Nested) => of_nested(&field.value, is_log),
            None => of_value(&field.value, is_log).or_else(|| of_nested(&field.value, is_log)),
            Some(Role::StackTrace) if parts.stack.is_none() => {
                of_stack(&field.value, has_name).map(Taken::all)
            }
            _ => None,
        };
        // Another exception stays an attribute.
        if let Some(found) = found.filter(|found| parts.agrees_with(&found.parts)) {
            parts.add(found.parts);
            sources.push(SourceField { at: *at, rest: found.rest });
            has_value = true;
        }
    }
    parts.read_stack();
    let is_exception = has_name_and_message || parts.stack.is_some() || has_value;
    let kind = parts.kind.filter(|_| is_exception)?;
    for SourceField { at, rest } in sources {
        if let Some(rest) = rest {
            set_json(fields, at, rest);
        } else if let Some(field) = fields.get_mut(at) {
            field.is_taken = true;
        }
    }
    Some(Exception { kind, message: parts.message, stacktrace: parts.stack })
}

/// Replaces the value of a field.
fn set_json(fields: &mut LineFields<'_>, at: usize, json: String) {
    if let Some(field) = fields.get_mut(at)
        && let Ok(raw) = RawValue::from_string(json)
    {
        field.value = Value::Json(Cow::Owned(raw));
    }
}

/// An exception, and the JSON of what else its value has.
struct Taken {
    parts: ExceptionParts,
    rest: Option<String>,
}

impl Taken {
    fn all(parts: ExceptionParts) -> Self {
        Self { parts, rest: None }
    }
}

/// The error of a failed invocation: the JSON that Lambda answers with.
pub(crate) fn read_error(json: &str) -> Option<Exception> {
    let ExceptionParts { kind, message, stack } = of_object(json, true)?.parts;
    Some(Exception { kind: kind?, message, stacktrace: stack })
}

/// The exception in the value of a key such as `err`.
fn of_value(value: &Value<'_>, is_log: bool) -> Option<Taken> {
    match value {
        Value::Text(text) => {
            let is_certain =
                |parts: &ExceptionParts| parts.stack.is_some() || text.starts_with("[object] (");
            of_text(text).filter(is_certain).map(Taken::all)
        }
        Value::Json(raw) if raw.get().starts_with('{') => of_object(raw.get(), is_log),
        Value::Json(raw) => of_first_element(raw.get()).or_else(|| {
            // Python's `traceback.format_exception`
            let parts = of_text(&lines(raw.get())?)?;
            parts.stack.is_some().then(|| Taken::all(parts))
        }),
    }
}

/// The first of an exception and its causes, as structlog writes them. The others stay as they are.
fn of_first_element(array: &str) -> Option<Taken> {
    if !array.starts_with("[{") {
        return None;
    }
    let first = Elements::first_of(array, 1).values.first()?.get();
    let causes = array.get(1 + first.len()..)?;
    let Taken { parts, rest: rest_of_first } = of_object(first, true)?;
    let rest = match rest_of_first {
        Some(rest) => Some(format!("[{rest}{causes}")),
        None => causes.trim_start().strip_prefix(',').map(|causes| format!("[{causes}")),
    };
    Some(Taken { parts, rest })
}

/// An exception in an object, such as Monolog's `context` and loguru's `record`: under a key of its own, or as `exception.*` among the
/// object's keys.
fn of_nested(value: &Value<'_>, is_log: bool) -> Option<Taken> {
    let mut fields = object_fields(value.json_object()?)?;
    let is_candidate = |field: &LineField<'_>| {
        field.role().is_some_and(Role::is_error) || is_object_with_stack(&field.value)
    };
    let positions = fields.iter().enumerate().filter(|(_, field)| is_candidate(field));
    let candidates: Vec<usize> = positions.map(|(at, _)| at).collect();
    let Exception { kind, message, stacktrace } = take(&mut fields, &candidates, is_log)?;
    fields.retain(|field| !field.is_taken);
    let parts = ExceptionParts { kind: Some(kind), message, stack: stacktrace };
    Some(Taken { parts, rest: (!fields.is_empty()).then(|| json_object(&fields)) })
}

/// Returns `true` for an object that has a stack trace, so that it is an exception whatever its key.
#[inline]
pub(crate) fn is_object_with_stack(value: &Value<'_>) -> bool {
    const SHORTEST: usize = r#"{"stack":""}"#.len();
    let Value::Json(raw) = value else { return false };
    raw.get().starts_with('{') && raw.get().len() > SHORTEST && has_stack(raw.get())
}

fn has_stack(json: &str) -> bool {
    // Faster than a search for the word.
    let mut starts = memchr::memchr_iter(b's', json.as_bytes());
    starts.any(|at| json.get(at..).is_some_and(|key| key.starts_with("stack")))
}

fn of_object(object: &str, is_log: bool) -> Option<Taken> {
    let mut fields = object_fields(object)?;
    let find = |fields: &LineFields<'_>, keys: &[&str]| {
        keys.iter().find_map(|known| fields.iter().position(|field| field.key == *known))
    };
    let text = |fields: &LineFields<'_>, keys: &[&str]| {
        let at = find(fields, keys)?;
        fields.get(at)?.value.text().map(str::to_owned)
    };
    let kind = text(&fields, &KIND);
    let message = text(&fields, &MESSAGE);
    let stack_at = find(&fields, &STACK);
    let stack = stack_at
        .and_then(|at| fields.get(at))
        .and_then(|field| of_stack(&field.value, kind.is_some() || message.is_some()));
    let has_stack = stack.is_some();
    let mut parts = ExceptionParts { kind, message, stack: None };
    parts.add(stack.unwrap_or_default());
    parts.read_stack();
    let is_error = has_stack || is_log && (parts.message.is_some() || is_only_named(&fields));
    let kind = parts.kind.as_deref().filter(|kind| is_error && is_type(kind))?;
    let is_moved = |field: &LineField<'_>| {
        let key = field.key.as_ref();
        let text = field.value.text();
        KIND.contains(&key) && text == Some(kind)
            || MESSAGE.contains(&key) && text.is_some() && text == parts.message.as_deref()
            || has_stack
                && stack_at.is_some_and(|at| fields.get(at).is_some_and(|own| own.key == field.key))
    };
    let is_kept: Vec<bool> = fields.iter().map(|field| !is_moved(field)).collect();
    let mut are_kept = is_kept.into_iter();
    fields.retain(|_| are_kept.next().unwrap_or(true));
    // loguru says only whether there is one.
    fields.retain(|field| field.key != "traceback" || field.value.word() != "true");
    Some(Taken { parts, rest: (!fields.is_empty()).then(|| json_object(&fields)) })
}

/// Returns `true` for an error whose message a serializer dropped, because it is not enumerable: `{"name":"OutOfStock","order":42}`.
fn is_only_named(fields: &LineFields<'_>) -> bool {
    fields.first().is_some_and(|field| field.key == "name")
}

/// A stack trace: a text, or an array of lines or frames. Without a name next to it, it must begin with one: other records have a
/// stack trace of the place that wrote them.
fn of_stack(value: &Value<'_>, has_name: bool) -> Option<ExceptionParts> {
    let text = match value {
        Value::Text(text) => text.trim_end().to_owned(),
        Value::Json(raw) if raw.get().starts_with('{') => return None,
        Value::Json(raw) => lines(raw.get())?,
    };
    if text.is_empty() {
        return None;
    }
    if has_name {
        return Some(ExceptionParts { stack: Some(text), ..ExceptionParts::default() });
    }
    of_text(&text).map(|parts| ExceptionParts { stack: Some(text), ..parts })
}

/// The lines of an array of texts, or of objects, each of which is a frame.
fn lines(array: &str) -> Option<String> {
    if !array.starts_with('[') || array.len() > MAX_VALUE_BYTES {
        return None;
    }
    let values = Elements::of(array).values;
    let lines = values.iter().map(|raw| {
        text_of(raw).map_or_else(|| raw.get().to_owned(), |line| line.trim_end().to_owned())
    });
    Some(lines.collect::<Vec<_>>().join("\n"))
}

/// The exception that a text reports.
fn of_text(text: &str) -> Option<ExceptionParts> {
    let Exception { kind, message, stacktrace } = crash::exception(text)?;
    let stack = stacktrace.map(|stack| stack.trim_end().to_owned());
    Some(ExceptionParts { kind: Some(kind), message, stack })
}
