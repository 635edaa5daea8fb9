//! Reads a function's line: level, message, time and ids for the log record's fields, and all other keys as attributes.
//!
//! Text, JSON, JSON behind a prefix, and `key=value` pairs end in one reader of fields. A JSON object may also be the message of
//! another record: of Lambda's JSON log format, or of Fluent Bit.

use std::borrow::Cow;

use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, KeyValueList, any_value::Value as Any,
};
use serde_json::value::RawValue;

use crate::attributes::attribute;
use crate::names;
use crate::read::begins;
use crate::read::crash::{Exception, exception};
use crate::read::exceptions;
use crate::read::fields::{Elements, Fields, MAX_MS, of_millis, text_of};
use crate::read::head::{Head, HeadPlace, head};
use crate::read::ids::{TraceIds, datadog_id, is_uuid, lower_case, xray_root};
use crate::read::keys::{Rank, RankedRole, Role, ranked_role, role, role_in};
use crate::read::logfmt;
use crate::read::severity::{Evidence, Severity, without_colours};
use crate::read::time::{LineTime, stated_time};
use wire::Depth;

/// Maximum number of keys that become attributes; the rest becomes one JSON string. OpenObserve refuses a request if its records
/// have more than 1,000 distinct keys together.
pub(crate) const MAX_ATTRIBUTES: usize = 32;
pub(super) const MAX_KEY_BYTES: usize = 128;
/// A longer array or object is kept as a JSON string: parsed, it may take ninety times its size.
pub(crate) const MAX_VALUE_BYTES: usize = 64 * 1024;
/// Below this depth a value is kept as a JSON string.
pub(super) const MAX_DEPTH: usize = 16;

/// What a line states about its record.
#[derive(Debug, Default)]
pub(crate) struct FunctionLine<'a> {
    pub(crate) time: Option<LineTime>,
    pub(crate) severity: Option<Severity>,
    /// The message; `None` if the whole line is the body.
    pub(crate) message: Option<Cow<'a, str>>,
    pub(crate) request_id: Option<Cow<'a, str>>,
    pub(crate) trace: Option<TraceIds>,
    /// The X-Ray root, separate from the trace id because its trace may not be exported.
    pub(crate) xray_trace_id: Option<String>,
    /// The tenant, if a runtime's formatter wrote the line.
    pub(crate) tenant_id: Option<Cow<'a, str>>,
    pub(crate) durable_execution_arn: Option<Cow<'a, str>>,
    pub(crate) attributes: Vec<(Cow<'a, str>, Value<'a>)>,
    pub(crate) exception: Option<Box<Exception>>,
    /// The text of the JSON object, alone or behind a prefix. It may be invalid JSON.
    pub(crate) json: Option<&'a str>,
}

/// Reads a line without colours. `is_lambda` is `false` in log groups of other services, whose request ids are no invocations.
pub(crate) fn function_line(line: &str, is_lambda: bool) -> FunctionLine<'_> {
    let trimmed = line.trim_ascii().trim_start_matches('\u{feff}');
    let is_object = |text: &str| text.starts_with('{') && text.ends_with('}');
    if is_object(trimmed) {
        let inspected =
            || FunctionLine { severity: level_of_inspected(trimmed), ..FunctionLine::default() };
        let mut read = read_object(trimmed, is_lambda, WRAPPED).unwrap_or_else(inspected);
        read.json = Some(trimmed);
        return read;
    }
    text_line(line, HeadPlace::Line, is_lambda, WRAPPED)
}

/// Records whose text is another record: a container's runtime wraps what Lambda's JSON format wraps.
const WRAPPED: Depth = Depth::new(2);

fn text_line(line: &str, place: HeadPlace, is_lambda: bool, wrapped: Depth) -> FunctionLine<'_> {
    let head = head(line, place);
    let (between, json) = message_and_object(head.rest);
    let of_object = json.and_then(|json| read_object(json, is_lambda, wrapped));
    let is_object = of_object.is_some();
    let of_pairs = || logfmt_fields(head.rest).map(|fields| read_fields(fields, is_lambda));
    let mut read = of_object.or_else(of_pairs).unwrap_or_default();
    add_head(&mut read, &head, is_lambda);
    let Some(json) = json.filter(|_| is_object) else {
        read.trace = read.trace.or_else(|| TraceIds::in_text(line));
        add_exception(&mut read, &head, line);
        return read;
    };
    let before = line.split_once('{').map_or(line, |(before, _)| before).trim_ascii_end();
    read.trace = read.trace.or_else(|| TraceIds::in_text(before));
    match between {
        // The text is the message, which only Bref repeats in the object.
        Between::Text(text) if read.message.as_deref() != Some(text) => read.message = None,
        Between::Text(_) => {}
        Between::Nothing if head.has_context => read.message = None,
        Between::Nothing if !head.has_others => read.json = Some(json),
        Between::Nothing | Between::Name => {
            read.attributes.push((names::PREFIX.into(), Value::Text(before.into())));
        }
    }
    read
}

/// Adds the exception of a text. Its record is an error unless the text states a level.
fn add_exception(read: &mut FunctionLine<'_>, head: &Head<'_>, line: &str) {
    // `Error:` may be a level, or the name of an exception.
    const ERROR: &str = "Error:";
    let before = line.get(..line.len() - head.rest.len()).unwrap_or_default().trim_end();
    let text = match before.strip_suffix(ERROR) {
        Some(before) => line.get(before.len()..).unwrap_or_default(),
        None => head.rest,
    };
    let stated = read.exception.take();
    read.exception = stated.or_else(|| exception(text).map(Box::new));
    if read.exception.is_some() {
        read.severity = read.severity.or(Some(Severity::ERROR));
    }
}

fn add_head<'a>(read: &mut FunctionLine<'a>, head: &Head<'a>, is_lambda: bool) {
    let of_inspected = || level_of_inspected(head.rest.trim_ascii_end().strip_suffix('}')?);
    read.severity = read
        .severity
        .or(head.severity)
        .or_else(|| level_in_pairs(behind_name(head.rest)))
        .or_else(of_inspected);
    read.time = read.time.or(head.time);
    read.trace = read.trace.or(head.trace);
    let request_id = head.request_id.filter(|_| is_lambda && read.request_id.is_none());
    if let Some(request_id) = request_id {
        read.request_id = Some(lower_case(request_id));
    }
}

/// The text between a head and a JSON object.
#[derive(Clone, Copy)]
enum Between<'a> {
    Nothing,
    /// A logger's name, or a place in the code.
    Name,
    Text(&'a str),
}

/// The JSON object of a message, and the text before it. A tab or a name separates them: `{` may be part of a sentence.
fn message_and_object(message: &str) -> (Between<'_>, Option<&str>) {
    let message = message.trim_ascii_end();
    if !message.ends_with('}') {
        return (Between::Nothing, None);
    }
    if message.starts_with('{') {
        return (Between::Nothing, Some(message));
    }
    // `shop.Orders - {`, `main.go:12: {`, `root:{`
    let before = message.split_once('{').map(|(before, _)| before).unwrap_or_default();
    let name = before.trim_end_matches([' ', '-', ':']);
    if name.len() < before.len() && !name.contains([' ', '\t', '"']) {
        return (Between::Name, message.get(before.len()..));
    }
    match message.split_once("\t{").map(|(text, _)| text) {
        Some(text) => (Between::Text(text.trim_ascii()), message.get(text.len() + 1..)),
        None => (Between::Nothing, None),
    }
}

/// The text behind a place in the code, such as `main.go:7: `.
fn behind_name(text: &str) -> &str {
    const MOST_BYTES: usize = 128;
    let before = text.get(..text.floor_char_boundary(MOST_BYTES)).unwrap_or(text);
    let end = before.find([' ', '=']).unwrap_or_default();
    match text.split_at_checked(end) {
        Some((name, rest)) if name.ends_with(':') && rest.starts_with(' ') => rest.trim_start(),
        _ => text,
    }
}

/// The level of an object of several lines as Node prints it, such as winston's `prettyPrint`. Cabin writes its text before it.
fn level_of_inspected(text: &str) -> Option<Severity> {
    const MOST_LINES: usize = 32;
    const LEVEL: &str = "  level: '";
    let (before, rest) = text.split_once("{\n")?;
    let lines = || rest.lines().take(MOST_LINES);
    let is_record = if before.is_empty() {
        lines().any(|line| begins(line, &["  message: ", "  msg: "]))
    } else {
        rest.starts_with(LEVEL)
    };
    let level = lines().find_map(|line| line.strip_prefix(LEVEL)).filter(|_| is_record)?;
    Severity::of_word(level.split('\'').next()?)
}

/// The level of a text that begins with `key=value` pairs and ends otherwise.
fn level_in_pairs(text: &str) -> Option<Severity> {
    if !logfmt::begins(text) {
        return None;
    }
    let mut words = text.split([' ', '\t']).take(8);
    words.find_map(|word| {
        let (key, value) = word.split_once('=')?;
        if role(key)? != Role::Level {
            return None;
        }
        Severity::of_text(value.trim_matches('"'), Evidence::Marked)
    })
}

/// Reads the messages of several JSON objects, one in each line.
pub(crate) fn json_lines(message: &str) -> Option<impl Iterator<Item = &str> + Clone> {
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
    lines.clone().all(is_object).then_some(lines)
}

#[derive(Debug)]
pub(crate) enum Value<'a> {
    /// A string, copied only if it has escapes.
    Text(Cow<'a, str>),
    Json(Cow<'a, RawValue>),
}

impl<'a> Value<'a> {
    fn of(raw: &'a RawValue) -> Self {
        text_of(raw).map_or(Self::Json(Cow::Borrowed(raw)), Self::Text)
    }

    fn into_owned(self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Json(raw) => Value::Json(Cow::Owned(raw.into_owned())),
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The text of a JSON object.
    pub(crate) fn json_object(&self) -> Option<&str> {
        let Self::Json(raw) = self else { return None };
        Some(raw.get()).filter(|json| json.starts_with('{'))
    }

    /// The content of a string, or the JSON of another value.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Json(raw) => raw.get(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct LineField<'a> {
    pub(crate) key: Cow<'a, str>,
    role: Option<RankedRole>,
    pub(crate) value: Value<'a>,
    /// `true` if the content is in another field of the record.
    pub(crate) is_taken: bool,
}

impl<'a> LineField<'a> {
    fn new(key: Cow<'a, str>, value: Value<'a>) -> Self {
        let role = ranked_role(&key);
        Self { key, role, value, is_taken: false }
    }

    pub(crate) fn role(&self) -> Option<Role> {
        self.role.map(|ranked| ranked.role)
    }

    /// Returns `true` if a key that may have other words has a level.
    fn states_status(&self) -> bool {
        self.is(Role::Status) && status_of(&self.value).is_some()
    }

    pub(crate) fn is(&self, role: Role) -> bool {
        self.role() == Some(role)
    }

    fn into_owned(self) -> LineField<'static> {
        let Self { key, role, value, is_taken } = self;
        LineField { key: Cow::Owned(key.into_owned()), role, value: value.into_owned(), is_taken }
    }
}

pub(crate) type LineFields<'a> = Vec<LineField<'a>>;

pub(crate) fn object_fields(object: &str) -> Option<LineFields<'_>> {
    let fields = Fields::of(object)?.0.into_iter();
    Some(fields.map(|(key, raw)| LineField::new(key, Value::of(raw))).collect())
}

fn logfmt_fields(line: &str) -> Option<LineFields<'_>> {
    let pairs = Some(line).filter(|line| logfmt::begins(line)).and_then(logfmt::pairs)?;
    let field = |(key, value)| LineField::new(Cow::Borrowed(key), Value::Text(value));
    let fields: LineFields<'_> = pairs.into_iter().map(field).collect();
    fields.iter().any(|field| field.is(Role::Level) || field.states_status()).then_some(fields)
}

fn read_object(object: &str, is_lambda: bool, wrapped: Depth) -> Option<FunctionLine<'_>> {
    let mut fields = object_fields(object)?;
    let (Some((at, is_log)), Some(wrapped)) = (wrapper(&fields), wrapped.below()) else {
        return Some(read_fields(fields, is_lambda));
    };
    let value = &fields.get(at)?.value;
    let text = value.text().map(|text| text.trim_end().to_owned());
    let inner = match value {
        Value::Json(Cow::Borrowed(raw)) => object_fields(raw.get()).filter(is_record),
        Value::Text(text) if text.starts_with('{') => object_fields(text)
            .map(|fields| fields.into_iter().map(LineField::into_owned).collect()),
        _ => None,
    };
    let is_text = inner.is_none();
    if let Some(inner) = inner {
        fields = merged(fields, at, inner, is_lambda);
    }
    let mut read = read_fields(fields, is_lambda);
    let Some(text) = text else { return Some(read) };
    let mut message = None;
    if is_text {
        let plain = without_colours(&text);
        let place = if is_log { HeadPlace::Line } else { HeadPlace::Message };
        let inner = text_line(&plain, place, is_lambda, wrapped);
        read.severity = inner.severity.or(read.severity);
        read.trace = read.trace.or(inner.trace);
        // Lambda's own keys say more than the text.
        read.exception = read.exception.or(inner.exception);
        message = inner.message.map(|message| Cow::Owned(message.into_owned()));
        for (key, value) in inner.attributes {
            let is_new = !read.attributes.iter().any(|(taken, _)| *taken == key);
            if is_new && read.attributes.len() < MAX_ATTRIBUTES {
                read.attributes.push((Cow::Owned(key.into_owned()), value.into_owned()));
            }
        }
    }
    if message.is_some() {
        read.message = message;
    } else if is_text && is_log || read.message.is_none() {
        read.message = Some(text.into());
    }
    Some(read)
}

/// The position of the field that holds another logger's record: the message of Lambda's own JSON record, or Fluent Bit's `log`,
/// for which the second value is `true`.
fn wrapper(fields: &LineFields<'_>) -> Option<(usize, bool)> {
    let find = |role: Role| fields.iter().position(|field| field.is(role));
    let log = fields.iter().position(|field| field.is(Role::Log) && field.value.text().is_some());
    if log.is_some() && find(Role::Message).is_none() {
        return Some((log?, true));
    }
    find(Role::RuntimeRequestId)?;
    let is_own = find(Role::Level).is_some() && find(Role::Time).is_some();
    Some((find(Role::Message).filter(|_| is_own)?, false))
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

/// The best value for a field of the record, with the position of its key if that leaves the attributes.
struct Best<T> {
    found: Option<RankedValue<T>>,
}

struct RankedValue<T> {
    rank: Rank,
    at: Option<usize>,
    value: T,
}

impl<T> Default for Best<T> {
    fn default() -> Self {
        Self { found: None }
    }
}

impl<T> Best<T> {
    fn offer(&mut self, rank: Rank, at: Option<usize>, value: Option<T>) {
        let is_better = self.found.as_ref().is_none_or(|best| rank < best.rank);
        if let Some(value) = value.filter(|_| is_better) {
            self.found = Some(RankedValue { rank, at, value });
        }
    }

    fn is_found(&self) -> bool {
        self.found.is_some()
    }

    fn position(&self) -> Option<usize> {
        self.found.as_ref().and_then(|best| best.at)
    }

    fn value(self) -> Option<T> {
        self.found.map(|best| best.value)
    }
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the record")]
struct FoundValues {
    is_lambda: bool,
    is_gelf: bool,
    is_mongo: bool,
    level: Best<Severity>,
    /// The message, or `None` for the text of the key's value.
    message: Best<Option<String>>,
    message_of_logger: Best<Option<String>>,
    time: Best<LineTime>,
    request_id: Best<String>,
    is_of_runtime: bool,
    trace: Best<TraceIds>,
    span: Best<[u8; 8]>,
    xray: Best<String>,
    tenant: Best<()>,
    durable: Best<()>,
    /// Positions of the keys that may state an exception.
    errors: Vec<usize>,
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

fn read_fields(mut fields: LineFields<'_>, is_lambda: bool) -> FunctionLine<'_> {
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
    let is_leveled = level.is_found();
    if let Some(RankedValue { rank, at, value }) = message_of_logger.found.filter(|_| is_leveled) {
        message.offer(rank, at, Some(value));
    }
    if !trace.is_found() {
        // OTLP's span id has no meaning without a trace id, so it stays an attribute.
        span = Best::default();
    }
    let tenant = found.tenant.position().filter(|_| found.is_of_runtime);
    let durable = found.durable.position();
    let lifted = [
        level.position(),
        message.position(),
        request_id.position(),
        trace.position(),
        span.position(),
        xray.position(),
        tenant,
        durable,
    ];
    let mut take = |at: Option<usize>| match &mut fields.get_mut(at?)?.value {
        Value::Text(text) => Some(std::mem::take(text)),
        Value::Json(_) => None,
    };
    let message_at = message.position();
    let message =
        message.value().and_then(|copy| copy.map(Cow::Owned).or_else(|| take(message_at)));
    let tenant_id = take(tenant);
    let durable_execution_arn = take(durable);
    let is_log = is_leveled || message.is_some() || found.time.is_found();
    let exception = (!found.errors.is_empty())
        .then(|| exceptions::take(&mut fields, &found.errors, is_log))
        .flatten()
        .or_else(|| exception_in_message(message.as_deref()?));
    let of_exception = || exception.as_ref()?.message.clone().map(Cow::Owned);
    let message = message.or_else(of_exception);
    let exception = exception.map(Box::new);
    // Lambda's library for Go writes no level.
    let severity = level.value().or(exception.as_ref().map(|_| Severity::ERROR));
    let trace = trace.value();
    let span_id = span.value();
    let mut read = FunctionLine {
        time: found.time.value(),
        severity,
        message,
        request_id: request_id.value().map(Cow::Owned),
        trace: trace.map(|ids| TraceIds { span_id: span_id.or(ids.span_id), ..ids }),
        xray_trace_id: xray.value(),
        tenant_id,
        durable_execution_arn,
        exception,
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

impl FoundValues {
    fn of(fields: &LineFields<'_>, is_lambda: bool) -> Self {
        let is_gelf = fields.iter().any(|field| field.key == "short_message");
        let is_mongo = fields.iter().any(|field| field.key == "ctx");
        let mut found = Self { is_lambda, is_gelf, is_mongo, ..Self::default() };
        for (at, LineField { key, role, value, .. }) in fields.iter().enumerate() {
            match *role {
                Some(RankedRole { role: Role::Nested, .. }) => found.look_into(key, at, value),
                Some(RankedRole { role: Role::Log, .. }) if value.text().is_none() => {
                    found.look_into(key, at, value);
                }
                Some(RankedRole { role, rank }) => {
                    let may_be_error = role == Role::Message && value.json_object().is_some();
                    if role.is_error() || may_be_error {
                        found.errors.push(at);
                    }
                    found.offer(role, rank, Some(at), value);
                }
                None => {}
            }
        }
        // Other lines than a logger's have numbers under these keys, too.
        let level = found.level.position().and_then(|at| fields.get(at));
        let is_number = level.is_some_and(|field| field.value.text().is_none());
        let is_log = found.message.is_found() || found.time.is_found();
        if is_number && !is_log {
            found.level = Best::default();
        }
        found
    }

    /// Offers the value of a key. `at` is its position, if it is a key of the line itself.
    fn offer(&mut self, role: Role, rank: Rank, at: Option<usize>, value: &Value<'_>) {
        let text = value.text();
        match role {
            Role::Level => {
                // An object has more than the level, and stays an attribute.
                let at = at.filter(|_| value.json_object().is_none());
                self.level.offer(rank, at, level_of(value, self.is_gelf));
            }
            Role::Status => self.level.offer(rank, None, status_of(value)),
            Role::PythonNumber => {
                let number = value.word().parse().ok();
                self.level.offer(rank, at, number.and_then(Severity::of_python));
            }
            Role::MongoLetter => {
                let letter = text.and_then(|text| text.bytes().next()).filter(|_| self.is_mongo);
                self.level.offer(rank, at, letter.and_then(Severity::of_letter));
            }
            Role::OtelNumber => {
                self.level.offer(rank, at, value.word().parse().ok().and_then(Severity::of_otel));
            }
            Role::Message if text.is_none() => {}
            Role::Message | Role::Log => self.message.offer(rank, at, text.map(|_| None)),
            Role::MessageOfLogger => self.message_of_logger.offer(rank, at, text.map(|_| None)),
            Role::ErrorMessage if rank >= Rank::OfException => {}
            Role::ErrorMessage => {
                self.message.offer(rank, None, text.map(|text| Some(text.to_owned())));
            }
            Role::Time => self.time.offer(rank, at, time_of(value)),
            Role::RequestId | Role::RuntimeRequestId => {
                let id =
                    text.filter(|id| self.is_lambda && is_uuid(id)).map(str::to_ascii_lowercase);
                self.is_of_runtime |= role == Role::RuntimeRequestId && id.is_some();
                self.request_id.offer(rank, at, id);
            }
            Role::TraceId => {
                let ids = text.and_then(TraceIds::of_text);
                let header = text.filter(|_| ids.is_none()).and_then(xray_root);
                self.trace.offer(rank, at, ids);
                self.xray.offer(Rank::Rare, at, header);
            }
            Role::Traceparent => {
                self.trace.offer(rank, at, text.and_then(TraceIds::of_traceparent));
            }
            Role::DatadogTraceId => {
                self.trace.offer(rank, at, TraceIds::of_datadog(value.word()));
            }
            Role::SpanId => self.span.offer(rank, at, text.and_then(wire::ids::id)),
            Role::DatadogSpanId => self.span.offer(rank, at, datadog_id(value.word())),
            Role::XRayTraceId => self.xray.offer(rank, at, text.and_then(xray_root)),
            Role::TenantId => {
                self.tenant.offer(rank, at, text.filter(|id| is_tenant_id(id)).map(|_| ()));
            }
            Role::DurableExecution => {
                self.durable.offer(
                    rank,
                    at,
                    text.filter(|arn| is_durable_execution(arn)).map(|_| ()),
                );
            }
            Role::Nested | Role::ErrorType | Role::Exception | Role::StackTrace => {}
        }
    }

    /// Looks for ids, level and message in an object or in a list of objects, which stays an attribute.
    fn look_into(&mut self, outer: &str, at: usize, value: &Value<'_>) {
        const MOST_OBJECTS: usize = 1000;
        if let Value::Text(text) = value {
            // `trace` may also be the id itself.
            if outer == "trace" {
                self.trace.offer(Rank::Last, None, TraceIds::of_text(text));
            }
            return;
        }
        let json = value.word();
        let objects = if json.starts_with('[') {
            Elements::first_of(json, MOST_OBJECTS).values.into_iter().map(RawValue::get).collect()
        } else {
            vec![json]
        };
        for (key, raw) in objects.into_iter().filter_map(Fields::of).flat_map(|fields| fields.0) {
            let value = Value::of(raw);
            match (outer, key.as_ref()) {
                // Of tracing-subscriber and loguru.
                ("fields" | "record", "message") => {
                    self.message.offer(
                        Rank::Last,
                        None,
                        value.text().map(|text| Some(text.to_owned())),
                    );
                }
                // Of loguru; in data it may be any number or word.
                ("record", "level") if value.json_object().is_some() => {
                    self.offer(Role::Level, Rank::Last, None, &value);
                }
                // Of roarr and winston's format for logstash.
                ("context", "logLevel") | ("@fields", "level") => {
                    self.offer(Role::Level, Rank::Last, None, &value);
                }
                // Of loguru. Deeper objects are data.
                ("record", "extra") => self.look_into("extra", at, &value),
                ("_meta", "logLevelName") => self.offer(Role::Level, Rank::Last, None, &value),
                ("instant", "epochSecond") => self.offer(Role::Time, Rank::Last, None, &value),
                (_, key) if role(key) == Some(Role::Exception) => {
                    // However often the key occurs, the object is read once.
                    if self.errors.last() != Some(&at) {
                        self.errors.push(at);
                    }
                }
                (_, key) => {
                    if let Some(role) = role_in(outer, key) {
                        self.offer(role, Rank::Last, None, &value);
                    }
                }
            }
        }
    }
}

fn status_of(value: &Value<'_>) -> Option<Severity> {
    value.text().and_then(|text| Severity::of_text(text, Evidence::Marked))
}

fn level_of(value: &Value<'_>, is_gelf: bool) -> Option<Severity> {
    let number = || {
        let number = value.word().parse().ok()?;
        if is_gelf { Severity::of_syslog(number) } else { Severity::of_number(number) }
    };
    // Twisted and loguru write an object.
    let name = || Fields::of(value.json_object()?)?.text("name");
    let of_name = || name().as_deref().and_then(Severity::of_word);
    value.text().and_then(Severity::of_word).or_else(number).or_else(of_name)
}

impl<'a> FunctionLine<'a> {
    fn keep(&mut self, field: LineField<'a>, rest: &mut LineFields<'a>) {
        let key = &field.key;
        let is_taken = self.attributes.iter().any(|(taken, _)| taken == key);
        // Lambda and CloudWatch provide these attributes; a key of the line must not override them.
        let is_ours = matches!(
            key.as_ref(),
            names::LOG_RECORD_UID
                | names::FAAS_INVOCATION_ID
                | names::AWS_XRAY_TRACE_ID
                | names::REST
                | names::PREFIX
                | names::lambda::TENANT_ID
                | names::lambda::DURABLE_EXECUTION_ARN
        );
        let fits = (1..=MAX_KEY_BYTES).contains(&key.len());
        if is_taken || is_ours || !fits || self.attributes.len() >= MAX_ATTRIBUTES {
            rest.push(field);
            return;
        }
        let says_nothing = matches!(&field.value, Value::Json(raw) if raw.get() == "null");
        if !says_nothing {
            self.attributes.push((field.key, field.value));
        }
    }
}

/// Returns `true` if this can be a tenant id, of at most 256 characters (Lambda API).
pub(crate) fn is_tenant_id(text: &str) -> bool {
    (1..=256).contains(&text.len())
}

/// Returns `true` if this is the ARN of a durable execution (Lambda API):
/// `arn:aws:lambda:REGION:ACCOUNT:function:NAME:VERSION/durable-execution/NAME/ID`.
fn is_durable_execution(text: &str) -> bool {
    // It is repeated on all records of the invocation. Names and ids have 304 bytes at most.
    const MOST_BYTES: usize = 512;
    text.len() <= MOST_BYTES
        && text.starts_with("arn:")
        && text.contains(":function:")
        && text.contains("/durable-execution/")
}

/// Reads a time: text, or Unix time in seconds (zap, Go), milliseconds (pino), microseconds or nanoseconds.
fn time_of(value: &Value<'_>) -> Option<LineTime> {
    // The boundaries are days in 1973 in the smaller unit, and in 5138 in the larger one.
    const FIRST_MILLIS: f64 = 1e11;
    const FIRST_MICROS: f64 = 1e14;
    const FIRST_NANOS: f64 = 1e17;
    if let Some(time) = value.text().and_then(|text| LineTime::of_text(text.trim())) {
        return Some(time);
    }
    let number = value.word().parse().ok().filter(|number: &f64| *number > 0.0);
    let Some(number) = number else { return stated_time(value.text()?)?.time };
    let millis = match number {
        ..FIRST_MILLIS => number * 1e3,
        ..FIRST_MICROS => number,
        ..FIRST_NANOS => number / 1e3,
        _ => number / 1e6,
    };
    let is_exact = number >= FIRST_MILLIS || number.fract() > 0.0;
    (millis <= MAX_MS).then(|| LineTime { unix_nano: of_millis(millis), is_exact })
}

/// Reads a typed value; `None` for null. `depth` counts the enclosing arrays and objects.
///
/// A value without an exact form in OTLP keeps its JSON text: an integer beyond 64 bits, a number beyond a double, and an object
/// with a repeated key, because OTLP requires unique keys.
pub(crate) fn typed(raw: &RawValue, depth: usize) -> Option<Any> {
    let text = raw.get();
    let as_text = || Any::StringValue(text.to_owned());
    Some(match text.as_bytes().first()? {
        b'n' => return None,
        b't' | b'f' => Any::BoolValue(text == "true"),
        b'"' => text_of(raw).map_or_else(as_text, |text| Any::StringValue(text.into_owned())),
        b'[' | b'{' if depth >= MAX_DEPTH => as_text(),
        b'[' => Any::ArrayValue(ArrayValue {
            // Positions in an array have a meaning, so null keeps its place as an empty value.
            values: Elements::of(text)
                .values
                .into_iter()
                .map(|value| AnyValue { value: typed(value, depth + 1) })
                .collect(),
        }),
        b'{' => match Fields::of(text).filter(Fields::has_unique_keys) {
            Some(Fields(fields)) => Any::KvlistValue(KeyValueList {
                values: fields
                    .into_iter()
                    .filter_map(|(key, value)| Some(attribute(&key, typed(value, depth + 1)?)))
                    .collect(),
            }),
            None => as_text(),
        },
        _ => number(text).unwrap_or_else(as_text),
    })
}

/// Reads a JSON number; `None` for an integer beyond 64 bits and for a number beyond a double.
fn number(text: &str) -> Option<Any> {
    match text.parse() {
        Ok(integer) => Some(Any::IntValue(integer)),
        Err(_) if text.contains(['.', 'e', 'E']) => {
            text.parse().ok().filter(|number: &f64| number.is_finite()).map(Any::DoubleValue)
        }
        Err(_) => None,
    }
}

pub(crate) fn json_object(fields: &LineFields<'_>) -> String {
    let field = |LineField { key, value, .. }: &LineField<'_>| {
        let key = serde_json::Value::from(key.as_ref());
        match value {
            Value::Text(text) => format!("{key}:{}", serde_json::Value::from(text.as_ref())),
            Value::Json(raw) => format!("{key}:{}", raw.get()),
        }
    };
    format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
}
