//! Parses Telemetry API events, and the same events as JSON system lines in CloudWatch Logs, into the event model.
//!
//! Source: Lambda Developer Guide, "Lambda Telemetry API Event schema reference" (schemas 2022-07-01, 2022-12-13, 2025-01-29),
//! "Log formats" (JSON system lines), and "Lambda Web Functions system log schema" (`timestamp` instead of `time`).
//!
//! The only mandatory field is a type that is a string. Unknown types, fields and values are kept; a value of an unexpected form
//! is omitted or kept as text.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::value::RawValue;
use wire::timestamp;

use crate::event::{EventKind, Figures, PhaseSpan, PlatformEvent, Tracing, plausible, truncated};
use crate::read::fields::{Elements, Fields, text_of};
use crate::read::ids::{request_id_of, xray_root};

#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryEvent<'a> {
    /// Unix time in nanoseconds, if stated.
    pub time_unix_nano: Option<u64>,
    pub text: &'a str,
    /// The content: `record` and `type` of the schema.
    pub record: TelemetryRecord<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TelemetryRecord<'a> {
    /// An event of Lambda's own, or of an unknown type.
    Platform(Box<PlatformEvent>),
    Line {
        from: LineSource,
        /// The line in the form of [`crate::LogEventRef::message`]: text, or the text of a JSON value.
        message: Cow<'a, str>,
        /// `true` if Lambda sent a JSON value other than a string, as it does for objects in its JSON log format.
        is_json: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineSource {
    Function,
    Extension,
}

/// The result of reading one POST body of the Telemetry API.
#[derive(Debug, Default, PartialEq)]
pub struct ParsedBatch<'a> {
    pub events: Vec<TelemetryEvent<'a>>,
    /// Number of array elements that are omitted, because they were not events or too many.
    pub refused: usize,
    /// `true` if the body is not an array, or contains invalid JSON.
    pub is_broken: bool,
}

impl ParsedBatch<'_> {
    /// The number of events read of one body: four times the number that the extension subscribes to.
    pub const MAX_EVENTS: usize = 4000;
}

/// Reads a POST body, an array of events. Events are parsed one by one, so that an invalid event does not affect others; events
/// before a JSON error are kept.
pub fn parse_batch(body: &str) -> ParsedBatch<'_> {
    let mut batch = ParsedBatch::default();
    let Elements { values, is_broken, .. } = Elements::of(body);
    batch.is_broken = is_broken;
    for value in values {
        let has_room = batch.events.len() < ParsedBatch::MAX_EVENTS;
        let event = if has_room { parse(value) } else { None };
        match event {
            Some(event) => batch.events.push(event),
            None => batch.refused += 1,
        }
    }
    batch
}

/// Reads one Telemetry API event. Returns `None` if it has no type.
pub(crate) fn parse(event: &RawValue) -> Option<TelemetryEvent<'_>> {
    let envelope = Fields::of(event.get())?;
    let kind = envelope.text("type")?;
    let line = |from| {
        let record = envelope.get("record");
        let text = record.map_or(Some(Cow::Borrowed("")), text_of);
        let is_json = text.is_none();
        let message = text.or_else(|| Some(record?.get().into())).unwrap_or_default();
        TelemetryRecord::Line { from, message, is_json }
    };
    let record = match kind.as_ref() {
        "function" => line(LineSource::Function),
        "extension" => line(LineSource::Extension),
        _ => TelemetryRecord::Platform(Box::new(platform_event(&kind, &envelope))),
    };
    Some(TelemetryEvent { time_unix_nano: time_of(&envelope), text: event.get(), record })
}

/// System lines have a few hundred bytes; a longer line is the function's.
const MAX_LINE_BYTES: usize = 64 * 1024;

// A static, because creating a finder takes longer than one search.
static FIND_PLATFORM: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"platform."));

/// Reads a JSON system line of CloudWatch Logs. Returns `None` if Lambda did not write it.
///
/// A function can print anything, so a line counts as Lambda's only with the whole envelope: a type that begins with `platform.`,
/// a time, and a record. Other lines are cheap: one search excludes them without parsing their JSON.
pub(crate) fn parse_line(message: &str) -> Option<PlatformEvent> {
    let line = message.trim();
    let may_be = line.len() <= MAX_LINE_BYTES
        && line.starts_with('{')
        && line.ends_with('}')
        && FIND_PLATFORM.find(line.as_bytes()).is_some();
    if !may_be {
        return None;
    }
    let envelope = Fields::of(line)?;
    let kind = envelope.text("type").filter(|kind| kind.starts_with("platform."))?;
    let has_record = envelope.get("record")?.get().starts_with('{');
    let has_time = envelope.text("time").or_else(|| envelope.text("timestamp")).is_some();
    (has_record && has_time).then(|| platform_event(&kind, &envelope))
}

fn time_of(envelope: &Fields<'_>) -> Option<u64> {
    let text = envelope.text("time").or_else(|| envelope.text("timestamp"))?;
    timestamp::parse(&text)
}

fn platform_event(kind: &str, envelope: &Fields<'_>) -> PlatformEvent {
    let mut event = PlatformEvent::new(EventKind::of_type(kind));
    event.time_unix_nano = time_of(envelope);
    event.level = envelope.get("level").and_then(non_empty_text);
    let fields = envelope.get("record").and_then(|record| Fields::of(record.get()));
    for (key, value) in fields.into_iter().flat_map(|fields| fields.pairs) {
        read_field(&key, value, &mut event);
    }
    event.set_duration_of_phase();
    event
}

fn read_field(key: &str, value: &RawValue, event: &mut PlatformEvent) {
    let place = match key {
        "requestId" => {
            event.request_id =
                event.request_id.take().or(non_empty_text(value).map(|id| request_id_of(&id)));
            return;
        }
        "metrics" => return read_figures(value, &mut event.figures),
        "tracing" => return read_tracing(value, &mut event.tracing),
        "spans" => return read_spans(value, &mut event.spans),
        "instanceMaxMemory" => return set_figure(&mut event.figures.instance_max_memory_mb, value),
        "droppedRecords" => return set_figure(&mut event.figures.dropped_records, value),
        "droppedBytes" => return set_figure(&mut event.figures.dropped_bytes, value),
        "status" => &mut event.status,
        "errorType" => &mut event.error_type,
        "reason" => &mut event.message,
        "initializationType" => &mut event.initialization_type,
        "phase" => &mut event.phase,
        "version" | "functionVersion" => &mut event.version,
        "runtimeVersion" => &mut event.runtime_version,
        "runtimeVersionArn" => &mut event.runtime_version_arn,
        "name" => &mut event.name,
        "state" => &mut event.state,
        "instanceId" => &mut event.instance_id,
        // The function's name comes from the event's origin, not from its content.
        "functionName" => return,
        _ => return keep_unknown(key, value, event),
    };
    match non_empty_text(value) {
        Some(text) => *place = place.take().or(Some(text)),
        // The status of a Web Function's event is a number.
        None => keep_unknown(key, value, event),
    }
}

/// Keeps a field unknown to the event model, unless it is null or empty.
fn keep_unknown(key: &str, value: &RawValue, event: &mut PlatformEvent) {
    let is_empty = matches!(value.get(), "null" | "\"\"");
    if is_empty || event.other.len() == PlatformEvent::MAX_OTHER {
        return;
    }
    let whole = text_of(value).unwrap_or_else(|| value.get().into());
    let text = truncated(&whole, PlatformEvent::MAX_VALUE_BYTES);
    event.other.push((truncated(key, PlatformEvent::MAX_VALUE_BYTES), text));
}

/// A non-empty string, truncated to the limit.
fn non_empty_text(value: &RawValue) -> Option<String> {
    let text = text_of(value).filter(|text| !text.is_empty())?;
    Some(truncated(&text, PlatformEvent::MAX_VALUE_BYTES))
}

/// A number, or the text of one. Integers of AWS's schema may also be floats, because AWS has changed integers to floats before.
fn figure(value: &RawValue) -> Option<f64> {
    let number = match text_of(value) {
        Some(text) => text.trim().parse().ok(),
        None => value.get().parse().ok(),
    };
    number.and_then(plausible)
}

fn set_figure(place: &mut Option<f64>, value: &RawValue) {
    *place = place.or(figure(value));
}

fn read_figures(metrics: &RawValue, figures: &mut Figures) {
    let Some(metrics) = Fields::of(metrics.get()) else { return };
    for (key, value) in metrics.pairs {
        let place = match key.as_ref() {
            "durationMs" => &mut figures.duration_ms,
            "billedDurationMs" => &mut figures.billed_duration_ms,
            "memorySizeMB" => &mut figures.memory_size_mb,
            "maxMemoryUsedMB" => &mut figures.max_memory_used_mb,
            "initDurationMs" => &mut figures.init_duration_ms,
            "restoreDurationMs" => &mut figures.restore_duration_ms,
            "billedRestoreDurationMs" => &mut figures.billed_restore_duration_ms,
            "producedBytes" => &mut figures.produced_bytes,
            _ => continue,
        };
        set_figure(place, value);
    }
}

/// Reads `{"spanId", "type": "X-Amzn-Trace-Id", "value": "Root=…;Parent=…;Sampled=…"}`.
fn read_tracing(tracing: &RawValue, into: &mut Tracing) {
    let Some(tracing) = Fields::of(tracing.get()) else { return };
    into.span_id =
        tracing.text("spanId").filter(|id| wire::ids::id::<8>(id).is_some()).map(Cow::into_owned);
    let Some(header) = tracing.text("value") else { return };
    let parsed = wire::ids::XRayHeader::parse(&header);
    into.trace_id = xray_root(&header);
    into.parent_id = parsed.parent_id.map(|id| wire::ids::to_hex(&id));
    into.sampled = parsed.sampled;
}

/// Limit on the elements of an event's list of phases; AWS writes a few.
const MAX_ELEMENTS: usize = 1000;

fn read_spans(spans: &RawValue, into: &mut Vec<PhaseSpan>) {
    for span in Elements::first_of(spans.get(), MAX_ELEMENTS).values {
        let Some(fields) = Fields::of(span.get()) else { continue };
        let Some(name) = fields.get("name").and_then(non_empty_text) else { continue };
        if into.len() == PlatformEvent::MAX_SPANS {
            return;
        }
        let duration_ms = fields.get("durationMs").and_then(figure);
        let start = fields.text("start").and_then(|start| timestamp::parse(&start));
        into.push(PhaseSpan { name, start, duration_ms });
    }
}
