//! Reads a function's line: level, message, time and ids for the log record's fields, and all other keys as attributes.
//!
//! The fields of JSON, of JSON after a prefix, and of `key=value` pairs have one reader (`field`, `found`, `record`). A JSON object may
//! also be the message of another record: of Lambda's JSON log format, or of Fluent Bit.

mod field;
mod found;
mod inspected;
mod record;
mod reserved;
mod typed;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::names;
use crate::read::crash::{Exception, exception};
use crate::read::fields::Fields;
use crate::read::head::{Head, HeadOf, head};
use crate::read::ids::{TraceIds, lower_case};
use crate::read::keys::{Role, role};
use crate::read::logfmt;
use crate::read::severity::{LevelWordSet, Severity};
use crate::read::time::LineTime;
use wire::Depth;

pub(crate) use field::{LineField, LineFields, Value, json_object, line_fields, object_fields};
pub(crate) use found::is_tenant_id;
pub(crate) use typed::typed;

use field::{fields_before_cut, logfmt_fields};
use record::{read_fields, read_object};

/// Maximum number of keys that become attributes; the rest becomes one JSON string. OpenObserve refuses a request if its records
/// have more than 1,000 distinct keys together.
pub(crate) const MAX_ATTRIBUTES: usize = 32;
pub(super) const MAX_KEY_BYTES: usize = 128;
/// A longer array or object is kept as a JSON string: parsed, it may take ninety times its size.
pub(crate) const MAX_VALUE_BYTES: usize = 64 * 1024;
/// Below this depth a value is kept as a JSON string.
pub(super) const MAX_DEPTH: usize = 16;

/// The content of a line, for the fields of its record.
#[derive(Debug, Default)]
pub(crate) struct FunctionLine<'a> {
    pub(crate) time: Option<LineTime>,
    pub(crate) severity: Option<Severity>,
    /// The message; `None` if the whole line is the body.
    pub(crate) message: Option<Cow<'a, str>>,
    pub(crate) request_id: Option<Cow<'a, str>>,
    pub(crate) trace: Option<TraceIds>,
    /// X-Ray's trace id, separate from the trace id because its trace may not be exported.
    pub(crate) xray_trace_id: Option<String>,
    /// The tenant, if a runtime's formatter wrote the line.
    pub(crate) tenant_id: Option<Cow<'a, str>>,
    pub(crate) durable_execution_arn: Option<Cow<'a, str>>,
    pub(crate) attributes: Vec<(Cow<'a, str>, Value<'a>)>,
    pub(crate) exception: Option<Box<Exception>>,
    /// The text of the JSON object, alone or after a prefix. It may be invalid JSON.
    pub(crate) json: Option<&'a str>,
    /// `true` if the text is several objects that may be joined.
    pub(crate) is_joined: bool,
    /// The fields of a JSON object that declares metrics.
    pub(crate) emf_fields: Option<Fields<'a>>,
}

/// Reads a line without colours. `is_lambda` is `false` in log groups of other services, whose request ids are no invocations.
pub(crate) fn function_line(line: &str, is_lambda: bool) -> FunctionLine<'_> {
    let trimmed = line.trim_ascii().trim_start_matches('\u{feff}');
    let is_object = |text: &str| text.starts_with('{') && text.ends_with('}');
    if is_object(trimmed) {
        let mut read = read_object(trimmed, is_lambda, WRAPPED)
            .unwrap_or_else(|| not_json(trimmed, is_lambda));
        read.json = Some(trimmed);
        return read;
    }
    text_line(line, HeadOf::Line, is_lambda, WRAPPED)
}

/// Records whose text is another record: a container's runtime wraps what Lambda's JSON format wraps.
const WRAPPED: Depth = Depth::new(2);

/// Reads a line that is not JSON as a whole. `wrapped` bounds the records that may be in one another.
fn text_line(line: &str, of: HeadOf, is_lambda: bool, wrapped: Depth) -> FunctionLine<'_> {
    let head = head(line, of);
    let has_pairs = logfmt::begins(head.rest);
    let trimmed = head.rest.trim_ascii_end();
    let ends_as_object = trimmed.ends_with('}');
    let stated = Stated { of, has_pairs, ends_as_object, is_lambda };
    let found = if ends_as_object { trailing_object(trimmed) } else { None };
    let of_object = found.as_ref().and_then(|object| read_object(object.json, is_lambda, wrapped));
    let Some((object, mut read)) = found.zip(of_object) else {
        let mut read = match trimmed.as_bytes().first() {
            Some(b'{') => not_json(trimmed, is_lambda),
            _ if has_pairs => logfmt_fields(head.rest)
                .map(|fields| read_fields(fields, is_lambda))
                .unwrap_or_default(),
            _ => FunctionLine::default(),
        };
        add_head(&mut read, &head, &stated);
        if read.message.is_some() && head.has_context {
            read.message = None;
        } else if read.message.is_some() && head.has_others {
            let prefix = text_of(&head, line).trim_ascii();
            read.attributes.push((names::PREFIX.into(), Value::Text(prefix.into())));
        }
        read.trace = read.trace.or_else(|| TraceIds::in_text(line));
        add_exception(&mut read, &head, line);
        return read;
    };
    add_head(&mut read, &head, &stated);
    let before = line.split_once('{').map_or(line, |(before, _)| before).trim_ascii_end();
    read.trace = read.trace.or_else(|| TraceIds::in_text(before));
    match object.between {
        // The text is the message, which only Bref repeats in the object.
        Between::Text(text) if read.message.as_deref() != Some(text) => read.message = None,
        Between::Text(_) => {}
        Between::Nothing if head.has_context => read.message = None,
        Between::Nothing if !head.has_others => read.json = Some(object.json),
        Between::Nothing | Between::Name => {
            read.attributes.push((names::PREFIX.into(), Value::Text(before.into())));
        }
    }
    read
}

/// The text of the head of this line.
fn text_of<'a>(head: &Head<'_>, line: &'a str) -> &'a str {
    line.get(..line.len() - head.rest.len()).unwrap_or_default()
}

/// Adds the exception of a text. Its record is an error unless the text states a level.
fn add_exception(read: &mut FunctionLine<'_>, head: &Head<'_>, line: &str) {
    // `Error:` may be a level, or the name of an exception.
    const ERROR: &str = "Error:";
    let text = match text_of(head, line).trim_end().strip_suffix(ERROR) {
        Some(before) => line.get(before.len()..).unwrap_or_default(),
        None => head.rest,
    };
    let stated = read.exception.take();
    read.exception = stated.or_else(|| exception(text).map(Box::new));
    if read.exception.is_some() {
        read.severity = read.severity.or(Some(Severity::ERROR));
    }
}

/// What is known of a text and its head.
struct Stated {
    of: HeadOf,
    /// `true` if the message begins with a `key=value` pair.
    has_pairs: bool,
    ends_as_object: bool,
    is_lambda: bool,
}

fn add_head<'a>(read: &mut FunctionLine<'a>, head: &Head<'a>, stated: &Stated) {
    let Stated { of, has_pairs, ends_as_object, is_lambda } = *stated;
    // What a logger states before the message is not the message's to change, unless that is a record of its own. What a runtime
    // states is only the stream to which the function printed.
    let is_record = read.time.is_some() || read.message.is_some();
    let of_record = read.severity.filter(|_| is_record);
    let of_logger = head.severity.filter(|_| !head.has_level_of_runtime);
    let of_pairs = || {
        let is_behind_level = head.severity.is_some() || of == HeadOf::LoggedMessage;
        has_pairs.then(|| level_in_pairs(head.rest, is_behind_level)).flatten()
    };
    read.severity = of_record
        .or_else(of_pairs)
        .or(of_logger)
        .or(read.severity.filter(|_| of != HeadOf::LoggedMessage))
        .or(head.severity)
        .or_else(|| level_after_name(head.rest))
        .or_else(|| ends_as_object.then(|| inspected::level_after_text(head.rest)).flatten());
    read.time = read.time.or(head.time);
    read.trace = read.trace.or(head.trace);
    if let Some(request_id) = head.request_id
        && is_lambda
        && read.request_id.is_none()
    {
        read.request_id = Some(lower_case(request_id));
    }
}

/// The JSON object at the end of a text.
struct TrailingObject<'a> {
    /// It may be invalid JSON.
    json: &'a str,
    between: Between<'a>,
}

/// The text between a head and a JSON object.
#[derive(Clone, Copy)]
enum Between<'a> {
    Nothing,
    /// A logger's name, or a place in the code.
    Name,
    Text(&'a str),
}

/// Finds the JSON object at the end of a message. A tab or a name separates it from the text before it: `{` may be part of a
/// sentence.
fn trailing_object(trimmed: &str) -> Option<TrailingObject<'_>> {
    // `shop.Orders - {`, `main.go:12: {`, `root:{`
    let (before, _) = trimmed.split_once('{')?;
    if before.is_empty() {
        return Some(TrailingObject { json: trimmed, between: Between::Nothing });
    }
    let name = before.trim_end_matches([' ', '-', ':']);
    if name.len() < before.len() && !name.contains([' ', '\t', '"']) {
        let json = trimmed.get(before.len()..)?;
        return Some(TrailingObject { json, between: Between::Name });
    }
    let (text, _) = trimmed.split_once("\t{")?;
    let json = trimmed.get(text.len() + 1..)?;
    Some(TrailingObject { json, between: Between::Text(text.trim_ascii()) })
}

/// The level in the pairs after a place in the code, such as `main.go:7: `.
fn level_after_name(text: &str) -> Option<Severity> {
    const MAX_BYTES: usize = 128;
    let before = text.as_bytes().get(..MAX_BYTES).unwrap_or(text.as_bytes());
    let end = memchr::memchr(b' ', before)?;
    let pairs = text.get(..end)?.strip_suffix(':').and_then(|_| text.get(end + 1..))?.trim_start();
    logfmt::begins(pairs).then(|| level_in_pairs(pairs, false)).flatten()
}

/// Reads an object that is no JSON: as Node prints it, or cut.
#[cold]
fn not_json(text: &str, is_lambda: bool) -> FunctionLine<'_> {
    if let Some(fields) = inspected::record_fields(text) {
        return read_fields(fields, is_lambda);
    }
    let is_joined = memchr::memmem::find(text.as_bytes(), b"}{").is_some();
    FunctionLine { is_joined, ..beginning_of_object(text, is_lambda) }
}

/// What the beginning of an object states that was cut: by Lambda after 262,144 bytes, by others after less. The line stays the body.
fn beginning_of_object(text: &str, is_lambda: bool) -> FunctionLine<'_> {
    if !text.starts_with("{\"") {
        return FunctionLine::default();
    }
    let FunctionLine { time, severity, request_id, trace, xray_trace_id, .. } =
        read_fields(fields_before_cut(text), is_lambda);
    FunctionLine { time, severity, request_id, trace, xray_trace_id, ..FunctionLine::default() }
}

/// The level of a text that begins with `key=value` pairs and ends otherwise. Behind a level, only pairs that begin as a record do are
/// a logger's, and others are a text.
fn level_in_pairs(text: &str, is_behind_level: bool) -> Option<Severity> {
    let key_role = |word: &str| word.split_once('=').and_then(|(key, _)| role(key));
    let is_record = matches!(key_role(text), Some(Role::Level | Role::Time));
    let mut words = text.split([' ', '\t']).take(8).filter(|_| is_record || !is_behind_level);
    words.find_map(|word| {
        let (_, value) = word.split_once('=').filter(|_| key_role(word) == Some(Role::Level))?;
        Severity::of_text(value.trim_matches('"'), LevelWordSet::Any)
    })
}

/// Divides a message of several JSON objects, one in each line.
pub(crate) fn json_lines(message: &str) -> Option<Vec<&str>> {
    let message = message.trim_ascii();
    if !message.starts_with('{') || memchr::memchr(b'\n', message.as_bytes()).is_none() {
        return None;
    }
    let lines = message.lines().map(str::trim_ascii).filter(|line: &&str| !line.is_empty());
    let is_object = |line: &str| {
        line.starts_with('{')
            && line.ends_with('}')
            && serde_json::from_str::<&RawValue>(line).is_ok()
    };
    lines.clone().all(is_object).then(|| lines.collect())
}

/// The objects of a text such as `{"level":"INFO",…}{"level":"ERROR",…}`.
pub(crate) fn joined_objects(text: &str) -> Option<Vec<&str>> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let object = |json: &&str| json.starts_with('{');
    let objects = values.map(|value| value.ok().map(RawValue::get).filter(object));
    objects.collect::<Option<Vec<_>>>().filter(|objects| objects.len() > 1)
}
