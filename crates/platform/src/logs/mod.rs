//! Converts CloudWatch log events to OTLP log records.
//!
//! A record has the time of its log event, or the time stated in the line if both are within one minute. The event's id
//! becomes `log.record.uid`. Level, request id, trace id and span id are read where the runtimes' loggers write them. A line's
//! content never changes its destination.
//!
//! Source: OpenTelemetry, logs data model, and semantic conventions, general/logs (`log.record.uid`).

pub(crate) mod records;
pub(crate) mod request_window;
pub(crate) mod seen_spans;

use crate::attributes::PlainValue;
use crate::event::platform_attributes;
use crate::event::{EventKind, PlatformEvent};
use crate::logs::records::RecordWriter;
use crate::logs::request_window::Facts;
use crate::logs::request_window::RequestWindow;
use crate::metrics::emf;
use crate::names;
use crate::read::crash::Exception;
use crate::read::ids::TraceIds;
use crate::read::line::{FieldValue, FunctionLine};
use crate::read::runtime_text::is_out_of_memory;
use crate::read::severity::Severity;
use crate::read::time::LineTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEventRef<'a> {
    /// CloudWatch's id of the event; empty if it has none.
    pub id: &'a str,
    /// Unix time in milliseconds.
    pub time_ms: i64,
    /// The line or lines, usually with the line end.
    pub message: &'a str,
}

impl LogEventRef<'_> {
    /// Unix time in nanoseconds, clamped to 1970 through 2554.
    pub fn time_unix_nano(&self) -> u64 {
        u64::try_from(self.time_ms).unwrap_or(0).saturating_mul(1_000_000)
    }
}

/// Writes the log record of a function's line.
///
/// The message of a structured line becomes the body, and its keys become attributes, except the definition of its metrics. Any
/// other line becomes the body as written, without its line end.
pub(crate) fn line_record(
    event: &LogEventRef<'_>,
    line: &FunctionLine<'_>,
    window: &mut RequestWindow,
    observed_unix_nano: u64,
    has_metrics: bool,
    record: &mut RecordWriter<'_, '_>,
) {
    let severity = match line.severity {
        Some(severity) => severity,
        None if is_out_of_memory(event.message) => Severity::ERROR,
        None => Severity::INFO,
    };
    let body = line.message.as_deref().unwrap_or_else(|| without_line_end(event.message));
    let time = record_time(event, line.time);
    begin_at(time, event, severity, body, observed_unix_nano, record);
    let id = line.request_id.as_deref().or(window.request_id());
    if let Some(id) = id {
        record.invocation(id);
    }
    // The line's own fields override facts from other lines.
    let facts = Facts {
        tenant_id: line.tenant_id.as_deref(),
        durable_execution_arn: line.durable_execution_arn.as_deref(),
    };
    facts.write(record);
    if window.has_told() {
        facts.beside(window.told(id)).repeat(record);
    }
    let facts = window.believed(facts);
    if facts != Facts::default()
        && let Some(id) = id.map(str::to_owned)
    {
        window.tell(&id, facts);
    }
    if let Some(root) = &line.xray_trace_id {
        record.attribute(names::AWS_XRAY_TRACE_ID, PlainValue::Text(root));
    }
    for (key, value) in &line.attributes {
        match value {
            _ if has_metrics && key == emf::line::KEY => {}
            FieldValue::Text(text) => record.attribute(key, PlainValue::Text(text)),
            FieldValue::Other(value) => record.any_attribute(key, value),
        }
    }
    if let Some(Exception { kind, message, stacktrace }) = line.exception.as_deref() {
        let texts = [
            ("exception.type", Some(kind)),
            ("exception.message", message.as_ref()),
            ("exception.stacktrace", stacktrace.as_ref()),
        ];
        for (key, text) in texts {
            let text = text.filter(|_| !line.attributes.iter().any(|(taken, _)| taken == key));
            if let Some(text) = text {
                record.attribute(key, PlainValue::Text(text));
            }
        }
    }
    if let Some(TraceIds { trace_id, span_id }) = &line.trace {
        record.trace_id(trace_id);
        record.span_id(span_id.as_ref().map_or(&[], |id| id));
    }
}

/// The maximum difference between the time in a line and the time of its log event, in nanoseconds: one minute. A time further
/// away belongs to something else, such as an order, or comes from a wrong clock.
const MOST_TIME_APART: u64 = 60 * SECOND;
const SECOND: u64 = 1_000_000_000;

/// The time of a record: the stated one if it is near the log event's.
pub(crate) fn record_time(event: &LogEventRef<'_>, stated: Option<LineTime>) -> u64 {
    let logged = event.time_unix_nano();
    match stated.filter(|time| time.unix_nano.abs_diff(logged) <= MOST_TIME_APART) {
        Some(LineTime { unix_nano, is_exact: true }) => unix_nano,
        // Loggers that write whole seconds, such as Python's in Lambda, would move records before their invocation. CloudWatch's
        // time is more precise within the second.
        Some(LineTime { unix_nano, .. }) => {
            logged.clamp(unix_nano, unix_nano.saturating_add(SECOND - 1))
        }
        None => logged,
    }
}

/// Writes the log record of one of Lambda's own events, with its figures in Lambda's units.
///
/// A failure has severity ERROR in every notation.
pub(crate) fn platform_record(
    event: &LogEventRef<'_>,
    platform: &PlatformEvent,
    window: &RequestWindow,
    observed_unix_nano: u64,
    record: &mut RecordWriter<'_, '_>,
) {
    let said = || platform.level.as_deref().and_then(Severity::of_word);
    let severity = match platform.kind {
        _ if platform.is_failure() => Severity::ERROR,
        EventKind::LogsDropped => said().unwrap_or(Severity::WARN),
        _ => said().unwrap_or(Severity::INFO),
    };
    begin(event, severity, event.message.trim_end(), observed_unix_nano, record);
    record.event_name(platform.kind.as_str());
    request_id(record, platform.request_id.as_deref(), window);
    platform_attributes(platform, &mut |key, value| record.attribute(key, value));
}

/// The reason why a claimed OTLP line was not decoded. The line itself, the function's data, is in the dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecodable<'a> {
    pub reason: &'a str,
    pub size_bytes: usize,
    /// SHA-256 of the line in hex.
    pub sha256: &'a str,
}

/// Writes the log record about an undecodable line, without any part of the line.
pub(crate) fn undecodable_record(
    event: &LogEventRef<'_>,
    undecodable: &Undecodable<'_>,
    window: &RequestWindow,
    observed_unix_nano: u64,
    record: &mut RecordWriter<'_, '_>,
) {
    let Undecodable { reason, size_bytes, sha256 } = *undecodable;
    let body = format!("OTLP line was not decoded: {reason}");
    begin(event, Severity::ERROR, &body, observed_unix_nano, record);
    record.event_name("lambda_otlp.undecodable");
    request_id(record, window.request_id(), window);
    let size = i64::try_from(size_bytes).unwrap_or(i64::MAX);
    record.attribute(names::UNDECODABLE_REASON, PlainValue::Text(reason));
    record.attribute(names::UNDECODABLE_SIZE, PlainValue::Int(size));
    record.attribute(names::UNDECODABLE_SHA256, PlainValue::Text(sha256));
}

/// Writes the common fields of a record: times, severity, body and the log event's id.
fn begin(
    event: &LogEventRef<'_>,
    severity: Severity,
    body: &str,
    observed_unix_nano: u64,
    record: &mut RecordWriter<'_, '_>,
) {
    begin_at(event.time_unix_nano(), event, severity, body, observed_unix_nano, record);
}

/// Like [`begin`], with another time than the log event's.
fn begin_at(
    time_unix_nano: u64,
    event: &LogEventRef<'_>,
    severity: Severity,
    body: &str,
    observed_unix_nano: u64,
    record: &mut RecordWriter<'_, '_>,
) {
    record.times(time_unix_nano, observed_unix_nano);
    record.severity(severity);
    record.body(body);
    if !event.id.is_empty() {
        record.attribute(names::LOG_RECORD_UID, PlainValue::Text(event.id));
    }
}

fn request_id(record: &mut RecordWriter<'_, '_>, request_id: Option<&str>, window: &RequestWindow) {
    if let Some(id) = request_id {
        record.invocation(id);
    }
    if window.has_told() {
        window.told(request_id).repeat(record);
    }
}

fn without_line_end(message: &str) -> &str {
    message.trim_end_matches(['\n', '\r'])
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::logs::v1::LogRecord;

    use super::*;
    use crate::read::line::function_line;
    use crate::read::{telemetry, text};
    use crate::render;

    const OBSERVED: u64 = 1_790_000_100_000_000_000;
    const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
    const OTHER: &str = "b2d4a1f0-0b57-4f5e-9f2d-7c1f5d9e0c22";

    fn line_of(event: &LogEventRef<'_>, window: &RequestWindow) -> LogRecord {
        let line = function_line(event.message, true);
        render::written(|record| {
            line_record(event, &line, &mut window.clone(), OBSERVED, false, record);
        })
    }

    fn event(message: &str) -> LogEventRef<'_> {
        LogEventRef { id: "42", time_ms: 1_790_000_000_123, message }
    }

    /// The window of invocation `ID`.
    fn window() -> RequestWindow {
        let mut window = RequestWindow::default();
        window.observe(&text::parse(&format!("START RequestId: {ID} Version: 1")).unwrap());
        window
    }

    /// A line within the invocation `ID`; `{other}` stands for another request id.
    #[track_caller]
    fn check(message: &str, expected: &str) {
        let message = message.replace("{other}", OTHER);
        let record = line_of(&event(&message), &window());
        let actual = format!(
            "{} {} | {} | {}",
            record.severity_number,
            record.severity_text,
            render::value(record.body.as_ref().unwrap()),
            render::attributes(&record.attributes)
        );
        let actual = actual.replace(ID, "ID").replace(OTHER, "OTHER");
        assert_eq!(actual.replace("log.record.uid=42 faas.invocation_id=", ""), expected);
    }

    #[test]
    fn log_lines_become_log_records() {
        const TIME: &str = "2026-09-21T14:13:20.123Z";
        check("plain\n", "9 INFO | plain | ID");
        check("no errors\r\n", "9 INFO | no errors | ID");
        check("ends in tabs\t \n\n", "9 INFO | ends in tabs\t  | ID");
        check("two\nlines\n", "9 INFO | two\nlines | ID");
        check("", "9 INFO |  | ID");
        check(
            &format!("[ERROR]\t{TIME}\t{{other}}\tx\n"),
            &format!("17 ERROR | [ERROR]\t{TIME}\tOTHER\tx | OTHER"),
        );
        check(
            &format!("[WARNING]\t{TIME}\t\tx\n"),
            &format!("13 WARN | [WARNING]\t{TIME}\t\tx | ID"),
        );
        check("{\"level\":\"debug\",\"message\":\"x\",\"n\":1}\n", "5 DEBUG | x | ID n=1");
        check("{\"level\":\"audit\",\"message\":\"x\"}", "9 INFO | x | ID level=audit");
        check("{\"a\":1}\n", "9 INFO | {\"a\":1} | ID a=1");
        check("{\"requestId\":\"{other}\",\"message\":\"x\"}", "9 INFO | x | OTHER");
        check("{\"message\":\"\"}", "9 INFO |  | ID");
        check(
            "{\"message\":\"x\",\"xray_trace_id\":\"1-5759e988-bd862e3fe1be46a994272793\"}",
            "9 INFO | x | ID aws.xray.trace_id=1-5759e988-bd862e3fe1be46a994272793",
        );
    }

    #[test]
    fn stated_times_are_used_only_near_the_log_event() {
        let record = line_of(&event("x"), &RequestWindow::default());
        assert_eq!(record.time_unix_nano, 1_790_000_000_123_000_000);
        assert_eq!(record.observed_time_unix_nano, OBSERVED);
        let stated = |seconds: u32| {
            let (minute, second) = (seconds / 60, seconds % 60);
            let line = format!(
                r#"{{"timestamp":"2026-09-21T14:{minute}:{second:02}.123456Z","msg":"x"}}"#
            );
            line_of(&event(&line), &window()).time_unix_nano - 1_790_000_000_000_000_000
        };
        // The log event's time is 14:13:20.123.
        let at_event = 13 * 60 + 20;
        assert_eq!(stated(at_event), 123_456_000);
        assert_eq!(stated(at_event + 59), 59_123_456_000);
        assert_eq!(stated(at_event + 61), 123_000_000);
        assert_eq!(stated(at_event - 61), 123_000_000);
        // Python's JSON log format and others write whole seconds. Base: 14:13:00.
        let whole = |second: u32| {
            let line = format!(r#"{{"timestamp":"2026-09-21T14:13:{second:02}Z","msg":"x"}}"#);
            line_of(&event(&line), &window()).time_unix_nano - 1_789_999_980_000_000_000
        };
        assert_eq!(whole(20), 20_123_000_000);
        assert_eq!(whole(19), 19_999_999_999);
        assert_eq!(whole(21), 21_000_000_000);
        let time = |time_ms| LogEventRef { id: "", time_ms, message: "" }.time_unix_nano();
        assert_eq!((time(-1), time(i64::MIN), time(i64::MAX)), (0, 0, u64::MAX));
    }

    #[test]
    fn a_log_event_without_an_id_gets_no_uid() {
        let event = LogEventRef { id: "", time_ms: 0, message: "x" };
        assert_eq!(line_of(&event, &RequestWindow::default()).attributes, []);
    }

    #[test]
    fn no_invocation_of_several_at_a_time_is_guessed() {
        let mut window = RequestWindow::default();
        let mut observe = |kind: &str, id: &str| {
            let time = "2026-11-26T10:00:00Z";
            let line = format!(
                r#"{{"time":"{time}","type":"platform.{kind}","record":{{"requestId":"{id}"}}}}"#
            );
            window.observe(&telemetry::parse_line(&line).unwrap());
            window.request_id().map(str::to_owned)
        };
        assert_eq!(observe("start", ID).as_deref(), Some(ID));
        assert_eq!(observe("start", OTHER), None);
        assert_eq!(observe("start", OTHER), None, "repeated");
        assert_eq!(observe("report", ID).as_deref(), Some(OTHER));
        assert_eq!(observe("report", OTHER), None);
    }

    #[test]
    fn platform_lines_become_records_with_their_figures() {
        let table = r#"
            REPORT RequestId: {id}\tDuration: 619.31 ms\tBilled Duration: 700 ms\tFuture Field: 7 ms\t\n
                => 9 platform.report log.record.uid=42 faas.invocation_id=ID aws.lambda.event.type=platform.report faas.coldstart=false aws.lambda.duration_ms=619.31 aws.lambda.billed_duration_ms=700.0 aws.lambda.other={"Future Field":"7 ms"}
            REPORT RequestId: {id}\tRestore Duration: 5 ms\tStatus: success\n
                => 9 platform.report log.record.uid=42 faas.invocation_id=ID aws.lambda.event.type=platform.report faas.coldstart=true aws.lambda.status=success aws.lambda.restore_duration_ms=5.0
            REPORT RequestId: {id}\tStatus: timeout
                => 17 platform.report log.record.uid=42 faas.invocation_id=ID aws.lambda.event.type=platform.report faas.coldstart=false aws.lambda.status=timeout
            2024-03-04T17:22:38.033Z {id} Task timed out after 3.00 seconds\n\n
                => 17 platform.timeout log.record.uid=42 faas.invocation_id=ID aws.lambda.event.type=platform.timeout aws.lambda.timeout_ms=3000.0
            RequestId: {id} Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n
                => 17 platform.exitError log.record.uid=42 faas.invocation_id=ID aws.lambda.event.type=platform.exitError error.type=Runtime.ExitError
            INIT_REPORT Init Duration: 12.5 ms\tPhase: init\tStatus: error\tError Type: Extension.Crash\n
                => 17 platform.initReport log.record.uid=42 aws.lambda.event.type=platform.initReport aws.lambda.status=error error.type=Extension.Crash aws.lambda.phase=init aws.lambda.duration_ms=12.5 aws.lambda.init_duration_ms=12.5
            EXTENSION\tName: my-ext\tState: Ready\tEvents: [INVOKE]\n
                => 9 platform.extension log.record.uid=42 aws.lambda.event.type=platform.extension aws.lambda.extension.name=my-ext aws.lambda.extension.state=Ready aws.lambda.other={"Events":"[INVOKE]"}
        "#;
        for (message, expected) in render::cases(table) {
            let message = message.replace(r"\t", "\t").replace(r"\n", "\n").replace("{id}", ID);
            let platform = text::parse(&message).unwrap();
            let record = render::written(|record| {
                let window = RequestWindow::default();
                platform_record(&event(&message), &platform, &window, OBSERVED, record);
            });
            let attributes = render::attributes(&record.attributes).replace(ID, "ID");
            let shown = format!("{} {} {attributes}", record.severity_number, record.event_name);
            assert_eq!(shown, expected, "{message}");
            assert_eq!(render::value(record.body.as_ref().unwrap()), message.trim_end());
        }
    }
}
