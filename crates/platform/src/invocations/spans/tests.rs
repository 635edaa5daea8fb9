//! Invocations with their spans, and the limits of the table.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "times of the tests are small"
)]

use super::*;
use crate::options::{Names, SpanEnd, SpanMapping};
use crate::read::telemetry::{self, TelemetryRecord};
use crate::render::{self, check_table};
use expect_test::expect_file;
use proptest::prelude::*;

/// 2022-10-21T14:05:03Z.
const ZERO: u64 = 1_666_361_103_000_000_000;

const TRACING: &str = r#""tracing":{"spanId":"24cd7d670fa455f0","type":"X-Amzn-Trace-Id","value":"Root=1-6352a70e-1e2c502e358361800241fd45;Parent=35465b3a9e2f7c6a;Sampled=0"}"#;

/// The events of a cold invocation, without its report.
const COLD: &str = r#"-0.6 initStart "initializationType":"on-demand","phase":"init","runtimeVersion":"nodejs-14.v3","runtimeVersionArn":"arn:rv","functionVersion":"7"
-0.1 initRuntimeDone "initializationType":"on-demand","phase":"init","status":"success","spans":[{"name":"boot","start":"2022-10-21T14:05:02.500Z","durationMs":100}]
-0.05 initReport "initializationType":"on-demand","phase":"init","metrics":{"durationMs":549.04}
0.165 start "requestId":"r1","version":"7",{t}
2.764 runtimeDone "requestId":"r1","status":"success",{t},"spans":[{"name":"responseLatency","start":"2022-10-21T14:05:03.165Z","durationMs":2598},{"name":"responseDuration","start":"2022-10-21T14:05:05:763Z","durationMs":0},{"name":"runtimeOverhead","start":"2022-10-21T14:05:05.763Z","durationMs":0.5}],"metrics":{"durationMs":2599,"producedBytes":8}"#;

const WARM: &str = r#"1 start "requestId":"r1"
1.5 runtimeDone "requestId":"r1","status":"success""#;

fn options(mapping: SpanMapping, end: SpanEnd) -> SpanOptions {
    SpanOptions { mapping, end, function_name: String::from("orders"), ..SpanOptions::default() }
}

/// With the phases as events, until the runtime is done.
fn by_default() -> Invocations {
    new_environment(options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone))
}

fn new_environment(options: SpanOptions) -> Invocations {
    let mut invocations = Invocations::default();
    invocations.make_spans(options);
    invocations
}

fn new_stream(options: SpanOptions) -> Invocations {
    let mut invocations = Invocations::default();
    invocations.make_spans_of_reports(options);
    invocations
}

fn new_managed_instance(end: SpanEnd) -> Invocations {
    let mut invocations = new_environment(options(SpanMapping::SpanEvents, end));
    invocations.note_concurrency();
    invocations
}

fn after(seconds: f64) -> u64 {
    ZERO.saturating_add_signed((seconds * 1e3).round() as i64 * 1_000_000)
}

/// Adds an event with these fields of its record.
fn feed(invocations: &mut Invocations, seconds: f64, kind: &str, fields: &str) {
    let sampled = TRACING.replace("Sampled=0", "Sampled=1");
    let record = fields.replace("{t}", TRACING).replace("{sampled}", &sampled);
    let time = wire::timestamp::rfc3339_millis(after(seconds));
    let json = format!(r#"{{"time":"{time}","type":"platform.{kind}","record":{{{record}}}}}"#);
    let event = telemetry::parse(serde_json::from_str(&json).unwrap()).unwrap();
    let TelemetryRecord::Platform(platform) = event.record else { panic!("{json}") };
    let time = event.time_unix_nano.unwrap();
    invocations.note_evidence(&platform, time);
    invocations.add_event(&platform, time);
}

fn act(invocations: &mut Invocations, line: &str) -> String {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let two = || rest.split_once(' ').unwrap();
    match word {
        "options" => {}
        "take" => return render::spans(&invocations.take_finished(), ZERO, 4) + "--\n",
        "close" => {
            let (reason, at) = two();
            invocations.close_all(ShutdownReason::parse(reason), after(at.parse().unwrap()));
        }
        "invoked" => invocations.note_beginning("r1", rest, ZERO),
        "root" => {
            let trace_id = [7; 16];
            let span_id = [9; 8];
            let is_open = rest == "open";
            let is_sampled = rest != "unsampled";
            let root = FunctionRoot { trace_id, span_id, is_open, is_sampled };
            if !invocations.set_function_root("r1", root, ZERO) {
                return "too late\n".to_owned();
            }
        }
        "segment" => {
            let (newest, ids) = two();
            let (trace, span) = ids.split_once(' ').unwrap();
            let root = format!("1-{}-{}", trace.repeat(8), trace.repeat(24));
            let trace_id = wire::ids::xray_trace_id(&root).unwrap();
            let segment = XRaySegment { trace_id, span_id: [span.parse().unwrap(); 8] };
            invocations.add_segment_of(Some(newest).filter(|id| *id != "-"), segment);
        }
        seconds => {
            let (kind, fields) = two();
            feed(invocations, seconds.parse().unwrap(), kind, fields);
        }
    }
    String::new()
}

#[test]
fn invocations_become_spans() {
    check_table(&expect_file!["../../../fixtures/invocations.txt"], |case| {
        let mut options = options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone);
        let first = case.lines().next().unwrap_or_default();
        let words = first.strip_prefix("options ").unwrap_or_default();
        for word in words.split_whitespace() {
            match word {
                "child_spans" => options.mapping = SpanMapping::ChildSpans,
                "report" => options.end = SpanEnd::Report,
                "legacy" => options.names = Names::Legacy,
                "xray_lambda" => options.xray_lambda = true,
                "stream" => {}
                other => panic!("{other}"),
            }
        }
        let is_stream = words.contains("stream");
        let mut invocations =
            if is_stream { new_stream(options) } else { new_environment(options) };
        let case = case.replace("cold", COLD).replace("warm", WARM) + "\ntake";
        let spans: String = case.lines().map(|line| act(&mut invocations, line)).collect();
        spans.trim_end().strip_suffix("--").unwrap_or_default().trim_end().to_owned()
    });
}

#[test]
fn a_full_table_evicts_the_oldest_invocation() {
    let mut invocations = by_default();
    for n in 0..1000 {
        feed(&mut invocations, 1.0, "start", &format!(r#""requestId":"r{n}""#));
    }
    assert_eq!(invocations.order.len(), MAX_KNOWN);
    assert_eq!(invocations.evicted(), 1000 - MAX_KNOWN);
    assert_eq!(invocations.take_finished().len(), 1000 - MAX_KNOWN);
    let known = |id: &str| invocations.get(id).is_some();
    assert!(!known("r0") && known("r999"));

    let mut invocations = by_default();
    for n in 0..1000 {
        let id = format!(r#""requestId":"r{n}""#);
        for (seconds, kind, fields) in
            [(1.0, "start", id.as_str()), (1.1, "runtimeDone", &id), (0.0, "initStart", "")]
        {
            feed(&mut invocations, seconds, kind, fields);
        }
        assert_eq!(invocations.take_finished().len(), 1);
    }
    assert_eq!((invocations.order.len(), invocations.evicted()), (MAX_KNOWN, 0));
    assert!(invocations.spans.unwrap().pending.len() <= OpenSpan::MAX_EVENTS / 2);

    let mut invocations = new_stream(options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone));
    for n in 0..1000 {
        feed(&mut invocations, 1.0, "start", &format!(r#""requestId":"r{n}""#));
    }
    assert_eq!(invocations.take_finished(), [], "their reports will create them");
}

#[test]
fn a_managed_instance_runs_many_invocations_at_a_time() {
    let mut invocations = new_managed_instance(SpanEnd::Report);
    for (time, name) in [(1.0, "start"), (2.0, "report")] {
        for n in 0..1600 {
            feed(&mut invocations, time, name, &format!(r#""requestId":"r{n}""#));
        }
    }
    assert_eq!((invocations.take_finished().len(), invocations.evicted()), (1600, 0));
}

#[test]
fn the_events_of_all_invocations_are_bounded_in_bytes_and_none_is_lost() {
    let mut invocations = new_managed_instance(SpanEnd::RuntimeDone);
    let word = "w".repeat(PlatformEvent::MAX_VALUE_BYTES);
    let part = format!(r#"{{"name":"{word}","durationMs":1}}"#);
    let parts = vec![part; PlatformEvent::MAX_SPANS].join(",");
    let mut largest = 0;
    for n in 0..1600 {
        let record = format!(r#""requestId":"r{n}","version":"{word}","spans":[{parts}]"#);
        feed(&mut invocations, 1.0, "start", &record);
        let spans = invocations.entries.values().filter_map(|known| known.open_span.as_ref());
        let events = spans.flat_map(|span| &span.events);
        largest = largest.max(events.map(|timed| timed.event.bytes()).sum());
    }
    let limit = MAX_EVENT_BYTES;
    assert!((limit / 2..=limit).contains(&largest), "{largest}");
    assert!(invocations.has_finished());
    let early = invocations.take_finished().len();
    assert_eq!(early, invocations.evicted());
    invocations.close_all(ShutdownReason::Spindown, ZERO);
    assert_eq!(early + invocations.take_finished().len(), 1600);
}

proptest! {
    /// For any order of events: at most one invocation span for each start, or for each id without a start; no end before its
    /// start; and no entry left that has its report.
    #[test]
    fn events_in_any_order_create_valid_spans(
        events in proptest::collection::vec((0..9u8, 0..3u8, -5..100i64), 0..60),
        child_spans: bool,
        at_report: bool,
        is_stream: bool,
        step in 1..20usize,
    ) {
        let options = options(
            if child_spans { SpanMapping::ChildSpans } else { SpanMapping::SpanEvents },
            if at_report { SpanEnd::Report } else { SpanEnd::RuntimeDone },
        );
        let mut invocations =
            if is_stream { new_stream(options) } else { new_environment(options) };
        let mut spans = Vec::new();
        for (at, (kind, id, seconds)) in events.iter().enumerate() {
            let kinds = ["start", "runtimeDone", "report", "end", "initStart", "initReport", "restoreStart", "restoreReport", "x"];
            let record = format!(r#""requestId":"r{id}","status":"success","metrics":{{"durationMs":{}}},"spans":[{{"name":"a","start":"2022-10-21T14:05:0{}Z","durationMs":9}}]"#, seconds * 10, at % 10);
            feed(&mut invocations, *seconds as f64, kinds[usize::from(*kind)], &record);
            if at % step == 0 {
                spans.extend(invocations.take_finished());
            }
        }
        spans.extend(invocations.take_finished());
        let mut open = invocations.entries.values().filter_map(|known| known.open_span.as_ref());
        prop_assert!(open.all(|span| span.reported.is_none()));
        invocations.close_all(ShutdownReason::Spindown, ZERO);
        spans.extend(invocations.take_finished());
        // `render::spans` asserts the order of times and the lengths of ids.
        render::spans(&spans, ZERO, 4);
        let servers = spans.iter().filter(|span| span.kind == 2).count();
        let may_make_one = events.iter().filter(|(kind, ..)| *kind < 4).count();
        prop_assert!(servers <= may_make_one);
    }
}
