//! Parses Telemetry API events, and the same events as JSON system lines in CloudWatch Logs, into the event model.
//!
//! Source: Lambda Developer Guide, "Lambda Telemetry API Event schema reference" (schemas 2022-07-01, 2022-12-13, 2025-01-29),
//! "Log formats" (JSON system lines), "Lambda Web Functions system log schema" (`timestamp` instead of `time`), and the older
//! Logs API.
//!
//! The only mandatory field is a type that is a string. Unknown types, fields and values are kept; a value of an unexpected form
//! is omitted or kept as text.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::value::RawValue;
use wire::timestamp;

use crate::event::{EventKind, PhaseSpan, PlatformEvent, SpanStart, Tracing, truncated};
use crate::event::{Figures, plausible};
use crate::read::fields::{Elements, Fields, text_of};
use crate::read::fields::{MAX_MS, of_millis};
use crate::read::ids::{request_id_of, xray_root};
use crate::read::text as text_lines;

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
    /// Number of array elements that were not events and are omitted.
    pub refused: usize,
    /// `true` if the body is not an array, or contains invalid JSON.
    pub is_broken: bool,
}

/// Reads a POST body, an array of events. Events are parsed one by one, so that an invalid event does not affect others; events
/// before a JSON error are kept.
pub fn parse_batch(body: &str) -> ParsedBatch<'_> {
    let mut batch = ParsedBatch::default();
    let Elements { values, is_broken } = Elements::of(body);
    batch.is_broken = is_broken;
    for value in values {
        match parse(value) {
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
    let from = match kind.as_ref() {
        "function" => LineSource::Function,
        "extension" => LineSource::Extension,
        _ => {
            let platform = platform(&kind, &envelope);
            let time_unix_nano = platform.time_unix_nano;
            return Some(TelemetryEvent {
                time_unix_nano,
                text: event.get(),
                record: TelemetryRecord::Platform(Box::new(platform)),
            });
        }
    };
    let (message, is_json) = match envelope.get("record") {
        None => (Cow::Borrowed(""), false),
        Some(record) => match text_of(record) {
            Some(text) => (text, false),
            None => (Cow::Borrowed(record.get()), true),
        },
    };
    Some(TelemetryEvent {
        time_unix_nano: time_of(&envelope),
        text: event.get(),
        record: TelemetryRecord::Line { from, message, is_json },
    })
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
    let record = envelope.get("record")?.get();
    let has_record = record.starts_with('{') || record.starts_with('"');
    let has_time = envelope.text("time").or_else(|| envelope.text("timestamp")).is_some();
    (has_record && has_time).then(|| platform(&kind, &envelope))
}

fn time_of(envelope: &Fields<'_>) -> Option<u64> {
    let text = envelope.text("time").or_else(|| envelope.text("timestamp"))?;
    timestamp::parse_aws(&text)
}

fn platform(kind: &str, envelope: &Fields<'_>) -> PlatformEvent {
    let mut event = PlatformEvent::new(EventKind::of_type(kind));
    event.time_unix_nano = time_of(envelope);
    event.level = envelope.get("level").and_then(word);
    let Some(record) = envelope.get("record") else { return event };
    if let Some(text) = text_of(record) {
        read_text(&text, &mut event);
    } else if let Some(fields) = Fields::of(record.get()) {
        for (key, value) in fields.0 {
            read_field(&key, value, &mut event);
        }
    }
    match event.kind {
        EventKind::InitReport => event.figures.init_duration_ms = event.figures.duration_ms,
        EventKind::RestoreReport => event.figures.restore_duration_ms = event.figures.duration_ms,
        _ => {}
    }
    event
}

/// Reads a record that is a string, as in the older Logs API, often the text line of the same event.
fn read_text(record: &str, event: &mut PlatformEvent) {
    event.message = Some(truncated(record.trim_end(), PlatformEvent::MAX_VALUE_BYTES));
    if let Some(line) = text_lines::parse(record) {
        // Every termination is a `platform.fault`; only the text tells exhausted memory apart.
        if event.kind == EventKind::Fault && line.kind == EventKind::OutOfMemory {
            event.kind = EventKind::OutOfMemory;
        }
        event.request_id = line.request_id;
        event.error_type = line.error_type;
        event.status = line.status;
        event.figures = line.figures;
    }
}

fn read_field(key: &str, value: &RawValue, event: &mut PlatformEvent) {
    let place = match key {
        "requestId" => {
            event.request_id = event.request_id.take().or(word(value).map(|id| request_id_of(&id)));
            return;
        }
        "metrics" => return read_figures(value, &mut event.figures),
        "tracing" => return read_tracing(value, &mut event.tracing),
        "spans" => return read_spans(value, &mut event.spans),
        "instanceMaxMemory" => return set(&mut event.figures.instance_max_memory_mb, value),
        "droppedRecords" => return set(&mut event.figures.dropped_records, value),
        "droppedBytes" => return set(&mut event.figures.dropped_bytes, value),
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
        _ => return keep(key, value, event),
    };
    match word(value) {
        Some(word) => *place = place.take().or(Some(word)),
        // The status of a Web Function's event is a number.
        None => keep(key, value, event),
    }
}

/// Keeps a field unknown to the event model, unless it is null or empty.
fn keep(key: &str, value: &RawValue, event: &mut PlatformEvent) {
    let says_nothing = matches!(value.get(), "null" | "\"\"");
    if says_nothing || event.other.len() == PlatformEvent::MAX_OTHER {
        return;
    }
    let text = text_of(value).unwrap_or_else(|| value.get().into());
    let text = truncated(&text, PlatformEvent::MAX_VALUE_BYTES);
    event.other.push((truncated(key, PlatformEvent::MAX_VALUE_BYTES), text));
}

/// A non-empty string, truncated to the limit.
fn word(value: &RawValue) -> Option<String> {
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

fn set(place: &mut Option<f64>, value: &RawValue) {
    *place = place.or(figure(value));
}

fn read_figures(metrics: &RawValue, figures: &mut Figures) {
    let Some(metrics) = Fields::of(metrics.get()) else { return };
    for (key, value) in metrics.0 {
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
        set(place, value);
    }
}

/// Reads `{"spanId", "type": "X-Amzn-Trace-Id", "value": "Root=…;Parent=…;Sampled=…"}`.
fn read_tracing(tracing: &RawValue, into: &mut Tracing) {
    let Some(tracing) = Fields::of(tracing.get()) else { return };
    into.span_id = tracing.text("spanId").filter(|id| is_span_id(id)).map(Cow::into_owned);
    let Some(header) = tracing.text("value") else { return };
    let parsed = wire::ids::XRayHeader::parse(&header);
    into.trace_id = xray_root(&header);
    into.parent_id = parsed.parent_id.map(|id| wire::ids::to_hex(&id));
    into.sampled = parsed.sampled;
}

fn is_span_id(text: &str) -> bool {
    text.len() == 16
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        && text.bytes().any(|byte| byte != b'0')
}

fn read_spans(spans: &RawValue, into: &mut Vec<PhaseSpan>) {
    for span in Elements::of(spans.get()).values {
        let Some(fields) = Fields::of(span.get()) else { continue };
        let Some(name) = fields.get("name").and_then(word) else { continue };
        if into.len() == PlatformEvent::MAX_SPANS {
            return;
        }
        let duration_ms = fields.get("durationMs").and_then(figure);
        into.push(PhaseSpan { name, start: fields.get("start").and_then(start_of), duration_ms });
    }
}

/// The start of a span: a time as text, milliseconds since 1970, or milliseconds since the phase began.
fn start_of(value: &RawValue) -> Option<SpanStart> {
    // A larger number (from a day in 1973 on) counts from 1970, a smaller one from the start of the phase.
    const MIN_EPOCH_MS: f64 = 1e11;
    let text = text_of(value);
    if let Some(nanos) = text.as_deref().and_then(timestamp::parse_aws) {
        return Some(SpanStart::At(nanos));
    }
    let ms: f64 = text.as_deref().unwrap_or(value.get()).trim().parse().ok()?;
    if (0.0..MIN_EPOCH_MS).contains(&ms) {
        return Some(SpanStart::After(ms));
    }
    (MIN_EPOCH_MS..=MAX_MS).contains(&ms).then(|| SpanStart::At(of_millis(ms)))
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::render;

    const ID: &str = "459921b5-681c-4a96-beb0-81e0aa586026";
    const TRACING: &str = r#""tracing":{"spanId":"24cd7d670fa455f0","type":"X-Amzn-Trace-Id","value":"Root=1-6352a70e-1e2c502e358361800241fd45;Parent=35465b3a9e2f7c6a;Sampled=1"}"#;
    const TRACED: &str = "trace=1-6352a70e-1e2c502e358361800241fd45 span=24cd7d670fa455f0 parent=35465b3a9e2f7c6a sampled=true";

    fn show(event: &TelemetryEvent<'_>) -> String {
        let time = event.time_unix_nano.map(wire::timestamp::rfc3339_millis);
        let time = time.as_deref().and_then(|time| time.get(11..)).unwrap_or("-");
        match &event.record {
            TelemetryRecord::Platform(event) => format!("{time} {}", render::event(event)),
            TelemetryRecord::Line { from, message, .. } => format!("{time} {from:?}: {message}"),
        }
    }

    fn shown(json: &str) -> String {
        let raw = serde_json::from_str(json).unwrap();
        parse(raw).as_ref().map_or_else(|| String::from("-"), show)
    }

    fn platform_event(json: &str) -> Box<PlatformEvent> {
        match parse(serde_json::from_str(json).unwrap()).unwrap().record {
            TelemetryRecord::Platform(event) => event,
            TelemetryRecord::Line { .. } => panic!("a line: {json}"),
        }
    }

    /// Reads an event of this type and record, at 00:00:15.064, with `{id}`, `{tracing}` and `{traced}` filled in. A system line in
    /// CloudWatch with the same text must give the same result.
    #[track_caller]
    fn check(kind: &str, record: &str, expected: &str) {
        let record = record.replace("{id}", ID).replace("{tracing}", TRACING);
        let json =
            format!(r#"{{"time":"2022-10-12T00:00:15.064Z","type":"{kind}","record":{record}}}"#);
        let expected = expected.replace("{traced}", TRACED);
        assert_eq!(shown(&json), format!("00:00:15.064Z {expected}"), "{json}");
        if kind.starts_with("platform.") && (record.starts_with('{') || record.starts_with('"')) {
            let line = parse_line(&format!("{json}\n")).expect("a system line");
            assert_eq!(render::event(&line), expected, "as a line: {json}");
        } else {
            assert_eq!(parse_line(&json), None, "{json}");
        }
    }

    /// Checks a table of events: `type record => expectation`.
    #[track_caller]
    fn check_all(table: &str) {
        for (event, expected) in render::cases(table) {
            let (kind, record) = event.split_once(' ').unwrap();
            check(kind, record, expected);
        }
    }

    #[test]
    fn every_event_kind_of_the_telemetry_schema_is_parsed() {
        check_all(
            r#"
            platform.initStart {"initializationType":"on-demand","phase":"init","runtimeVersion":"nodejs-14.v3","runtimeVersionArn":"arn","functionName":"myFunction","functionVersion":"$LATEST","instanceId":"82561ce0","instanceMaxMemory":256}
                => initStart phase=init version=$LATEST runtime=nodejs-14.v3 arn=arn init_type=on-demand instance=82561ce0 instance_memory=256
            platform.initRuntimeDone {"initializationType":"on-demand","phase":"init","status":"success","spans":[{"name":"someTimeSpan","start":"2022-06-02T12:02:33.913Z","durationMs":70.5}]}
                => initRuntimeDone status=success phase=init init_type=on-demand someTimeSpan@12:02:33.913Z/70.5
            platform.initRuntimeDone {"initializationType":"on-demand","status":"error","errorType":"Runtime.ImportModuleError"}
                => initRuntimeDone status=error error=Runtime.ImportModuleError init_type=on-demand
            platform.initReport {"initializationType":"on-demand","status":"success","phase":"init","metrics":{"durationMs":125.33}}
                => initReport status=success phase=init init_type=on-demand duration=125.33 init=125.33
            platform.start {"requestId":"{id}","version":"$LATEST",{tracing}}
                => start id=459921b5 version=$LATEST {traced}
            platform.runtimeDone {"requestId":"{id}","status":"success",{tracing},"spans":[{"name":"responseLatency","start":"2022-10-21T14:05:03.165Z","durationMs":2598.0},{"name":"responseDuration","start":"2022-10-21T14:05:05.763Z","durationMs":0.0}],"metrics":{"durationMs":2599.0,"producedBytes":8}}
                => runtimeDone id=459921b5 status=success {traced} duration=2599 bytes=8 responseLatency@14:05:03.165Z/2598 responseDuration@14:05:05.763Z/0
            platform.runtimeDone {"requestId":"{id}","status":"timeout","metrics":{"durationMs":3000.0,"producedBytes":0}}
                => runtimeDone id=459921b5 status=timeout duration=3000 bytes=0
            platform.report {"requestId":"{id}","metrics":{"durationMs":2599.4,"billedDurationMs":2600,"memorySizeMB":128,"maxMemoryUsedMB":94,"initDurationMs":549.04},"spans":[{"name":"extensionOverhead","start":"2022-10-21T14:05:05.764Z","durationMs":1.9}],{tracing},"status":"success"}
                => report id=459921b5 status=success {traced} duration=2599.4 billed=2600 memory=128 used=94 init=549.04 extensionOverhead@14:05:05.764Z/1.9
            platform.report {"requestId":"{id}","metrics":{"durationMs":147.156,"billedDurationMs":201,"memorySizeMB":512,"maxMemoryUsedMB":91,"restoreDurationMs":500.795,"billedRestoreDurationMs":53},"status":"error","errorType":"Runtime.OutOfMemory"}
                => report id=459921b5 status=error error=Runtime.OutOfMemory duration=147.156 billed=201 memory=512 used=91 restore=500.795 billed_restore=53
            platform.restoreStart {"runtimeVersion":"nodejs-14.v3","functionVersion":"7","instanceMaxMemory":"256"}
                => restoreStart version=7 runtime=nodejs-14.v3 instance_memory=256
            platform.restoreRuntimeDone {"status":"success","spans":[{"name":"someTimeSpan","start":"2022-08-02T12:01:23:521Z","durationMs":80.0}]}
                => restoreRuntimeDone status=success someTimeSpan@12:01:23.521Z/80
            platform.restoreReport {"status":"success","metrics":{"durationMs":15.19}}
                => restoreReport status=success duration=15.19 restore=15.19
            platform.restoreReport {"status":"failure","errorType":"RestoreError"}
                => restoreReport status=failure error=RestoreError
            platform.extension {"events":["INVOKE","SHUTDOWN"],"name":"my-extension","state":"Ready"}
                => extension name=my-extension state=Ready other:events=["INVOKE","SHUTDOWN"]
            platform.telemetrySubscription {"name":"my-extension","state":"Subscribed","types":["platform"]}
                => telemetrySubscription name=my-extension state=Subscribed other:types=["platform"]
            platform.logsDropped {"droppedBytes":12345,"droppedRecords":123,"reason":"too slow"}
                => logsDropped message=too slow dropped=123 dropped_bytes=12345
            // Lambda Managed Instances.
            platform.initStart {"initializationType":"lambda-managed-instances","phase":"init"}
                => initStart phase=init init_type=lambda-managed-instances
            platform.report {"requestId":"{id}","status":"success","metrics":{"durationMs":3.5},"spans":[{"name":"responseLatency","start":"2022-10-21T14:05:03.165Z","durationMs":3},{"name":"responseDuration","start":"2022-10-21T14:05:03.168Z","durationMs":0.5}]}
                => report id=459921b5 status=success duration=3.5 responseLatency@14:05:03.165Z/3 responseDuration@14:05:03.168Z/0.5
            "#,
        );
    }

    #[test]
    fn logs_api_events_are_parsed() {
        check_all(
            r#"
            platform.end {"requestId":"{id}"} => end id=459921b5
            platform.logsSubscription {"name":"x","state":"active","types":["test"]}
                => logsSubscription name=x state=active other:types=["test"]
            platform.fault "RequestId: {id} Process exited before completing request"
                => fault id=459921b5 message=RequestId: 459921b5-681c-4a96-beb0-81e0aa586026 Process exited before completing request
            "#,
        );
        check(
            "platform.fault",
            r#""RequestId: {id} Error: Runtime exited with error: signal: killed\nRuntime.ExitError""#,
            "outOfMemory id=459921b5 error=Runtime.ExitError message=RequestId: 459921b5-681c-4a96-beb0-81e0aa586026 Error: Runtime exited with error: signal: killed\nRuntime.ExitError",
        );
        check("platform.runtimeDone", r#""who knows""#, "runtimeDone message=who knows");
    }

    #[test]
    fn unknown_kinds_and_fields_are_tolerated() {
        check_all(
            r#"
            platform.spinDownStart {"a":{"b":1}} => spinDownStart other:a={"b":1}
            platform. {} =>
            weather {"requestId":"{id}"} => weather id=459921b5
            platform.report {} => report
            platform.report null => report
            platform.report 17 => report
            platform.start {"requestId":"local-1","tenantId":"t","status":"sleepy","x":null,"status":"first wins"}
                => start id=local-1 status=sleepy other:tenantId=t
            platform.start {"requestId":"459921B5-681C-4A96-BEB0-81E0AA586026","tracing":null}
                => start id=459921b5
            platform.start {"requestId":17,"version":["a"],"status":""} => start other:version=["a"]
            "#,
        );
    }

    #[test]
    fn invalid_figures_of_telemetry_events_are_omitted() {
        check(
            "platform.report",
            r#"{"metrics":{"durationMs":"invalid","billedDurationMs":124.5,"memorySizeMB":"512","maxMemoryUsedMB":-1,"initDurationMs":1e400,"restoreDurationMs":null,"newFigureMs":3}}"#,
            "report billed=124.5 memory=512",
        );
        check("platform.report", r#"{"metrics":[1]}"#, "report");
        check("platform.report", r#"{"metrics":"all well"}"#, "report");
    }

    #[test]
    fn span_starts_are_parsed_in_every_format() {
        check(
            "platform.runtimeDone",
            r#"{"spans":[{"name":"a","start":"2022-08-02T12:01:23:521Z","durationMs":1},{"name":"b","start":0.0,"durationMs":"2.5"},{"name":"c","start":1666361103165,"durationMs":1e999},{"name":"d","start":12.5},{"name":"e","start":"1666361103165"},{"name":"f","start":"soon","durationMs":3},{"start":1},17,null,{"name":"g","start":-1}]}"#,
            "runtimeDone a@12:01:23.521Z/1 b@+0/2.5 c@14:05:03.165Z/? d@+12.5/? e@14:05:03.165Z/? f@?/3 g@?/?",
        );
        check("platform.runtimeDone", r#"{"spans":{"name":"a"}}"#, "runtimeDone");
        let many = vec![r#"{"name":"x"}"#; 100].join(",");
        let json = format!(r#"{{"type":"platform.runtimeDone","record":{{"spans":[{many}]}}}}"#);
        let event = platform_event(&json);
        assert_eq!(event.spans.len(), PlatformEvent::MAX_SPANS);
    }

    #[test]
    fn tracing_fields_are_optional() {
        check_all(
            r#"
            platform.start {"tracing":{}} => start
            platform.start {"tracing":[]} => start
            platform.start {"tracing":"Root"} => start
            platform.start {"tracing":{"value":17}} => start
            platform.start {"tracing":{"value":"Self=1","spanId":"x"}} => start
            platform.start {"tracing":{"value":"Lineage=a87bd80c:0; Root=1-692cc535-0338d3516cb745b7b41f878e"}}
                => start trace=1-692cc535-0338d3516cb745b7b41f878e
            platform.start {"tracing":{"spanId":"0000000000000000","value":"Sampled=0"}} => start sampled=false
            platform.start {"tracing":{"spanId":"24cd7d670fa455f","value":"Sampled=0"}} => start sampled=false
            platform.start {"tracing":{"spanId":"24cd7d670fa455fx","value":"Sampled=0"}} => start sampled=false
            platform.start {"tracing":{"spanId":"0000000000000000","value":"Root=1-5-2;Sampled=0"}} => start sampled=false
            "#,
        );
    }

    #[test]
    fn function_and_extension_lines_pass_through() {
        check("function", r#""hello\nworld\n""#, "Function: hello\nworld\n");
        check("extension", r#""[INFO] x""#, "Extension: [INFO] x");
        let json = r#"{"level":"INFO","message":"x"}"#;
        check("function", json, &format!("Function: {json}"));
        check("function", "true", "Function: true");
        assert_eq!(shown(r#"{"type":"function"}"#), "- Function: ");
    }

    #[test]
    fn the_web_function_envelope_is_parsed() {
        let json = r#"{"timestamp":"2026-09-21T14:13:20.123Z","level":"WARN","type":"platform.requestComplete","region":"eu-west-1","record":{"status":200}}"#;
        assert_eq!(shown(json), "14:13:20.123Z requestComplete level=WARN other:status=200");
        assert_eq!(
            render::event(&parse_line(json).unwrap()),
            "requestComplete level=WARN other:status=200"
        );
    }

    #[test]
    fn a_platform_line_requires_the_whole_envelope() {
        let check = |line: &str, is_lambdas: bool| {
            assert_eq!(parse_line(line).is_some(), is_lambdas, "{line}");
        };
        check(r#" {"record":{},"type":"platform.report","time":"2022-10-12T00:00:15Z"} "#, true);
        check(r#"{"record":{},"type":"platform.report","time":"later"}"#, true);
        check(r#"{"record":{},"type":"platform.report"}"#, false);
        check(r#"{"time":"2022-10-12T00:00:15Z","type":"platform.report"}"#, false);
        check(r#"{"time":"2022-10-12T00:00:15Z","type":"platform.report","record":[]}"#, false);
        check(r#"{"time":5,"type":"platform.report","record":{}}"#, false);
        check(r#"{"time":"2022-10-12T00:00:15Z","type":"my.platform.report","record":{}}"#, false);
        check(r#"{"time":"x","type":"INFO","record":{"type":"platform.report"}}"#, false);
        check(r#"{"time":"2022-10-12T00:00:15Z","type":"platform.report","record":{}} x"#, false);
        check(r#"{"time":"x","type":"platform.report","record":{}"#, false);
        let long = |bytes| {
            let text = "x".repeat(bytes);
            format!(r#"{{"time":"x","type":"platform.report","record":{{"x":"{text}"}}}}"#)
        };
        check(&long(60_000), true);
        check(&long(MAX_LINE_BYTES), false);
    }

    #[test]
    fn an_invalid_event_does_not_affect_the_others() {
        let start = r#"{"time":"2022-10-12T00:00:15.064Z","type":"platform.start","record":{}}"#;
        let check = |body: &str, events: usize, refused: usize, is_broken: bool| {
            let batch = parse_batch(body);
            assert_eq!(
                (batch.events.len(), batch.refused, batch.is_broken),
                (events, refused, is_broken),
                "{body}"
            );
        };
        check("[]", 0, 0, false);
        check(&format!("[{start},{start}]"), 2, 0, false);
        check(&format!(r#"[17,{start},null,[],{{}},{{"type":5}},"x",{start}]"#), 2, 6, false);
        check(&format!("[{start},{start}"), 2, 0, true);
        check(&format!("[{start},{{\"time\":,{start}]"), 1, 0, true);
        check(&format!("[{start}] and more"), 1, 0, true);
        check("", 0, 0, true);
        check("{}", 0, 0, true);
        check(start, 0, 0, true);
    }

    #[test]
    fn fields_of_a_telemetry_event_are_bounded() {
        let long = "ä".repeat(5000);
        let fields: Vec<String> = (0..100).map(|n| format!(r#""k{n}":"{long}""#)).collect();
        let json = format!(
            r#"{{"type":"platform.{long}","record":{{"requestId":"{long}",{}}}}}"#,
            fields.join(",")
        );
        let event = platform_event(&json);
        let max = PlatformEvent::MAX_VALUE_BYTES;
        assert_eq!(event.other.len(), PlatformEvent::MAX_OTHER);
        assert!(event.other.iter().all(|(_, value)| value.len() == max));
        assert!(event.kind.as_str().len() <= max && event.request_id.unwrap().len() <= max);
    }
}
