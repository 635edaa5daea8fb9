//! Tables of lines and events with what is read from them, and their limits.

use super::telemetry::{LineSource, TelemetryRecord, parse, parse_batch, parse_line};
use super::{platform_event, text};
use crate::event::PlatformEvent;
use crate::identity::{Identity, LogSource};
use crate::invocations::Invocations;
use crate::logs::{LineRecord, LogEventRef};
use crate::names;
use crate::read::fields::MAX_KEYS;
use crate::read::line::{MAX_ATTRIBUTES, MAX_DEPTH, MAX_KEY_BYTES, MAX_VALUE_BYTES, function_line};
use crate::render::{self, check_table, unescaped};
use expect_test::expect_file;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use wire::timestamp::{rfc3339_millis, rfc3339_nanos};

const ID: &str = "459921b5-681c-4a96-beb0-81e0aa586026";
const TRACING: &str = r#""tracing":{"spanId":"24cd7d670fa455f0","type":"X-Amzn-Trace-Id","value":"Root=1-6352a70e-1e2c502e358361800241fd45;Parent=35465b3a9e2f7c6a;Sampled=1"}"#;

/// Shows an event of this type and record. A system line in CloudWatch Logs with the same text must give the same.
fn telemetry_event(kind: &str, record: &str) -> String {
    let json =
        format!(r#"{{"time":"2022-10-12T00:00:15.064Z","type":"{kind}","record":{record}}}"#);
    let event = parse(serde_json::from_str(&json).unwrap()).unwrap();
    let shown = match &event.record {
        TelemetryRecord::Platform(event) => render::event(event),
        TelemetryRecord::Line { from, message, .. } => format!("{from:?}: {message}"),
    };
    let is_line = kind.starts_with("platform.") && record.starts_with('{');
    let line = parse_line(&format!("{json}\n")).map(|event| render::event(&event));
    assert_eq!(line, is_line.then(|| shown.clone()), "{json}");
    let time = rfc3339_millis(event.time_unix_nano.unwrap());
    format!("{} {shown}", time.split_once('T').unwrap().1)
}

#[test]
fn lines_and_events_of_lambda_are_read() {
    let is_type = |word: &str| {
        word.starts_with("platform.") || ["function", "extension", "weather"].contains(&word)
    };
    check_table(&expect_file!["../../fixtures/platform-events.txt"], |line| {
        let line = line.replace("{id}", ID).replace("{tracing}", TRACING);
        if let Some((kind, record)) = line.split_once(' ').filter(|(word, _)| is_type(word)) {
            return telemetry_event(kind, record);
        }
        platform_event(&unescaped(&line))
            .map_or_else(|| "-".to_owned(), |event| render::event(&event))
    });
}

const TIME_MS: i64 = 1_790_000_000_123;

/// The record of a line within this invocation invocations.
fn record_of(message: &str, mut invocations: Invocations) -> LogRecord {
    let source = LogSource { account: "", region: None, log_group: "/", log_stream: "" };
    let identity = Identity::of(&source);
    let event = LogEventRef { id: "", time_ms: TIME_MS, message };
    let line_record = LineRecord {
        event: &event,
        line: &function_line(message, true),
        identity: &identity,
        has_metrics: false,
        observed_unix_nano: 1,
    };
    render::written(|record| line_record.write(&mut invocations, record))
}

#[test]
fn lines_of_functions_become_log_records() {
    let mut invocations = Invocations::default();
    invocations.note_start_or_end(
        &text::parse(&format!("START RequestId: {ID} Version: 1")).unwrap(),
        false,
    );
    check_table(&expect_file!["../../fixtures/function-lines.txt"], |line| {
        let line = unescaped(line);
        let mut record = record_of(&line, invocations.clone());
        let text = render::value(record.body.as_ref().unwrap());
        let body = if text == line.trim_end_matches(['\n', '\r']) { "=" } else { text.as_str() };
        let mut shown = format!("{} | {}", record.severity_text, body.escape_debug());
        if record.time_unix_nano != TIME_MS.cast_unsigned() * 1_000_000 {
            shown.extend([" | at ", &rfc3339_nanos(record.time_unix_nano)]);
        }
        for id in [&record.trace_id, &record.span_id].into_iter().filter(|id| !id.is_empty()) {
            shown.extend([" | ", &wire::ids::to_hex(id)]);
        }
        record.attributes.retain(|pair| {
            let is_id = pair.key == names::FAAS_INVOCATION_ID;
            !(is_id && render::value(pair.value.as_ref().unwrap()) == ID)
        });
        format!("{shown} | {}", render::attributes(&record.attributes))
    });
}

#[test]
fn an_overlong_line_is_not_read_as_lambdas() {
    let text = |filler: usize| format!("REPORT RequestId: {ID}\tDuration: 5 ms{:filler$}", "");
    let json = |filler: usize| {
        format!(r#"{{"time":"x","type":"platform.report","record":{{"x":"{:filler$}"}}}}"#, "")
    };
    for (limit, line) in [(16 * 1024, &text as &dyn Fn(usize) -> String), (64 * 1024, &json)] {
        let filler = limit - line(0).len();
        assert!(platform_event(&line(filler)).is_some());
        assert!(platform_event(&line(filler + 1)).is_none());
    }
}

#[test]
fn an_invalid_event_does_not_affect_the_others() {
    let start = r#"{"time":"2022-10-12T00:00:15.064Z","type":"platform.start","record":{}}"#;
    let check = |body: &str, events: usize, refused: usize, is_broken: bool| {
        let batch = parse_batch(body);
        let found = (batch.events.len(), batch.refused, batch.is_broken);
        assert_eq!(found, (events, refused, is_broken), "{body}");
    };
    check("[]", 0, 0, false);
    check(&format!("[{start},{start}]"), 2, 0, false);
    check(&format!(r#"[17,{start},null,[],{{}},{{"type":5}},"x",{start}]"#), 2, 6, false);
    check(&format!("[{start},{start}"), 2, 0, true);
    check(&format!("[{start},{{\"time\":,{start}]"), 1, 0, true);
    check(&format!("[{start}] and more"), 1, 0, true);
    for other in ["", "{}", start] {
        check(other, 0, 0, true);
    }
    let without_record = parse_batch(r#"[{"type":"function"}]"#).events.remove(0).record;
    let empty =
        TelemetryRecord::Line { from: LineSource::Function, message: "".into(), is_json: false };
    assert_eq!(without_record, empty);
}

#[test]
fn the_fields_of_an_event_are_bounded() {
    let long = "ä".repeat(5000);
    let fields = (0..100).map(|n| format!(r#","k{n}":"{long}""#)).collect::<Vec<_>>().concat();
    let spans = vec![r#"{"name":"x"}"#; 100].join(",");
    let record = format!(r#"{{"requestId":"{long}","spans":[{spans}]{fields}}}"#);
    let body = format!(r#"[{{"type":"platform.{long}","record":{record}}}]"#);
    let TelemetryRecord::Platform(event) = parse_batch(&body).events.remove(0).record else {
        panic!("a line")
    };
    let max = PlatformEvent::MAX_VALUE_BYTES;
    assert!(event.other.iter().all(|(_, value)| value.len() == max));
    assert!(event.kind.as_str().len() <= max && event.request_id.unwrap().len() <= max);
    assert_eq!(event.spans.len(), PlatformEvent::MAX_SPANS);
    let fields = "\tField: x".repeat(100);
    let of_text = text::parse(&format!("REPORT RequestId: {ID}{fields}")).unwrap();
    for other in [event.other, of_text.other] {
        assert_eq!(other.len(), PlatformEvent::MAX_OTHER);
    }
}

/// The attributes of a line.
fn show(line: &str) -> String {
    render::attributes(&record_of(line, Invocations::default()).attributes)
}

#[test]
fn excess_keys_become_one_json_string() {
    let fields: Vec<String> =
        (0..MAX_ATTRIBUTES + 2).map(|n| format!(r#""k{n}": [{n}]"#)).collect();
    let line = show(&format!("{{{}}}", fields.join(",")));
    assert!(line.contains(r#" k31=[31] lambda_otlp.rest={"k32":[32],"k33":[33]}"#), "{line}");
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    let rest = format!(r#"lambda_otlp.rest={{"{long}":1}}"#);
    assert_eq!(show(&format!(r#"{{"{long}":1}}"#)), rest);
    let keys: Vec<String> = (0..=MAX_KEYS).map(|n| format!("\"{n}\":0")).collect();
    assert_eq!(show(&format!("{{{}}}", keys.join(","))), "");
}

#[test]
fn a_large_list_becomes_json_text() {
    let list = |bytes| format!("[{}]", " ".repeat(bytes - "[]".len()));
    let line = |bytes| format!("{{\"a\":{}}}", list(bytes));
    assert_eq!(show(&line(MAX_VALUE_BYTES)), "a=[]");
    assert_eq!(show(&line(MAX_VALUE_BYTES + 1)), format!("a={}", list(MAX_VALUE_BYTES + 1)));
}

#[test]
fn deep_nesting_becomes_json_text() {
    let nested = |depth| format!("{}\"x\"{}", "[".repeat(depth), "]".repeat(depth));
    let line = |depth| format!("{{\"a\":{}}}", nested(depth));
    let typed = |depth| format!("a={}", nested(depth).replace('"', ""));
    assert_eq!(show(&line(MAX_DEPTH)), typed(MAX_DEPTH));
    // Quotes mark values that are JSON text.
    let arrays = ["[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)].join("[\"x\"]");
    assert_eq!(show(&line(MAX_DEPTH + 1)), format!("a={arrays}"));
    assert_eq!(show(&line(100_000)), format!("a={}", nested(100_000)));
    let objects = |depth, x| format!("{}{x}{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let typed = objects(MAX_DEPTH, r#"{"a":1}"#).replacen(r#"{"a":"#, "{a=", MAX_DEPTH);
    assert_eq!(
        show(&format!(r#"{{"a":{}}}"#, objects(MAX_DEPTH, r#"{"a":1}"#))),
        format!("a={typed}")
    );
}

#[test]
fn the_size_of_an_exception_does_not_matter() {
    let value = |record: &LogRecord, key: &str| {
        let found = record.attributes.iter().find(|pair| pair.key == key);
        found.map(|pair| render::value(pair.value.as_ref().unwrap()))
    };
    let frames = "\n    at pay (index.js:3:9)".repeat(40_000);
    let line = serde_json::json!({
        "level": "error",
        "message": "failed",
        "err": {"name": "TypeError", "message": "no stock", "stack": format!("TypeError: no stock{frames}")},
    });
    let record = record_of(&line.to_string(), Invocations::default());
    let stack = value(&record, "exception.stacktrace").unwrap();
    assert_eq!(stack.len(), frames.len() + "TypeError: no stock".len());
    assert_eq!(value(&record, "err"), None);

    let cause = r#"{"name":"Error","message":"x","cause":"#;
    let causes = format!("{}{{}}{}", cause.repeat(1000), "}".repeat(1000));
    let line = format!(r#"{{"level":"error","message":"failed","err":{causes}}}"#);
    let record = record_of(&line, Invocations::default());
    assert_eq!(value(&record, "exception.type").as_deref(), Some("Error"));
    // What is not moved stays, however deep.
    assert!(value(&record, "err").unwrap().matches("cause").count() == 1000);
}
