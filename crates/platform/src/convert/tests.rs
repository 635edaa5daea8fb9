use super::*;
use crate::FunctionStatement;
use crate::attributes::text;
use crate::identity::LogSource;
use crate::names;
use crate::read::telemetry::{TelemetryRecord, parse_batch};
use crate::render;
use crate::render::{check_table, unescaped};
use expect_test::expect_file;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use wire::{RootWriter, SpanIds};

const OBSERVED: u64 = 1_790_000_100_000_000_000;
const TIME: &str = "2026-09-21T14:13:20.000Z";
const TIME_MS: i64 = 1_790_000_000_000;
const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";

fn identity() -> Identity {
    Identity::of(&LogSource {
        account: "123456789012",
        region: Some("eu-west-1"),
        log_group: "/aws/lambda/orders",
        log_stream: "2026/09/21/[$LATEST]0f4d8c0c8f7b4e7f9a1b2c3d4e5f6071",
    })
}

fn converter() -> Converter {
    Converter::new(identity(), PlatformOptions::default(), OBSERVED)
}

fn event(message: &str) -> LogEventRef<'_> {
    LogEventRef { id: "", time_ms: TIME_MS, message }
}

fn records(converted: &ConvertedLines) -> String {
    let mut text = String::new();
    let mut last_scope = String::new();
    for (scope, record) in converted.logs.iter().flat_map(render::log_records) {
        if scope != last_scope {
            text.extend([&scope, ":\n"]);
        }
        last_scope = scope;
        assert_eq!(record.observed_time_unix_nano, OBSERVED);
        let hex = wire::ids::to_hex;
        if !record.trace_id.is_empty() {
            text.extend([&hex(&record.trace_id), "/", &hex(&record.span_id), " "]);
        }
        text.extend([&render::record(&record), "\n"]);
    }
    text
}

/// The result of a chunk as text.
fn shown(converted: ConvertedLines) -> String {
    let ConsumedLines { platform_lines, root_lines, empty_lines, .. } = converted.consumed;
    let mut text = format!("{platform_lines} platform lines, {empty_lines} empty\n");
    if root_lines > 0 {
        text.extend([&root_lines.to_string(), " root lines\n"]);
    }
    text += &records(&converted);
    for scope in converted.metrics.into_iter().flat_map(|metrics| metrics.scope_metrics) {
        text += &render::points(&scope.metrics);
    }
    for scope in converted.spans.into_iter().flat_map(|spans| spans.scope_spans) {
        text += &render::spans(&scope.spans, 1_790_000_000_000_000_000, 4);
    }
    text
}

#[test]
fn log_events_become_records_points_and_spans() {
    check_table(&expect_file!["../../fixtures/streams.txt"], |case| {
        let words = case.lines().next().and_then(|line| line.strip_prefix("options "));
        let is = |word: &str| words.is_some_and(|words| words.split(' ').any(|own| own == word));
        let options =
            PlatformOptions { platform_logs_all: is("all"), ..PlatformOptions::default() };
        let recent = Arc::<RecentInvocations>::default();
        let chunk = |state: ConverterState| {
            let chunk = Converter::new(identity(), options, OBSERVED)
                .with_state(state)
                .with_recent(Arc::clone(&recent));
            if is("spans") { chunk.with_spans(false) } else { chunk }
        };
        let mut converter = chunk(ConverterState::default());
        let mut text = String::new();
        for (at, line) in (0..).zip(case.lines().skip(usize::from(words.is_some()))) {
            let time_ms = TIME_MS + at;
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "|" | "||" => {
                    let end = converter.finish();
                    let is_same_event = word == "|";
                    converter = chunk(if is_same_event {
                        end.state.clone()
                    } else {
                        ConverterState::default()
                    });
                    text += &(shown(end) + if is_same_event { "--\n" } else { "====\n" });
                }
                "span" => {
                    let (request_id, trace) = rest.split_once(' ').unwrap();
                    let trace_id = [trace.parse().unwrap(); 16];
                    converter.note_invocation_span(request_id, &SpanIds { trace_id, ..span() });
                }
                "text" => converter.convert_function_text(&event(rest)),
                "undecodable" => {
                    let reason = "payload is no base64";
                    let size_bytes = 31;
                    let sha256 = "ab12";
                    let line = event("{\"__otel_otlp_stdout\":\"secret\"}");
                    converter
                        .convert_undecodable(&line, &Undecodable { reason, size_bytes, sha256 });
                    assert!(!format!("{converter:?}").contains("secret"));
                }
                _ => {
                    let message = &unescaped(line);
                    converter.convert_log_event(&LogEventRef { id: "1", time_ms, message });
                }
            }
        }
        (text + &shown(converter.finish())).trim_end().to_owned()
    });
}

fn start() -> String {
    format!(r#"{{"time":"{TIME}","type":"platform.start","record":{{"requestId":"{ID}"}}}}"#)
}

fn report() -> String {
    format!(
        r#"{{"time":"{TIME}","type":"platform.report","record":{{"requestId":"{ID}","status":"error","errorType":"Runtime.OutOfMemory","metrics":{{"durationMs":7.5,"billedDurationMs":8,"memorySizeMB":128,"maxMemoryUsedMB":128}}}}}}"#
    )
}

fn span() -> SpanIds<'static> {
    SpanIds {
        request_id: Some(ID),
        start_unix_nano: 0,
        trace_id: [7; 16],
        span_id: [8; 8],
        parent_span_id: None,
        is_entry: true,
        error: None,
        complete_root_of: None,
    }
}

fn of_environment(events: &[String]) -> ConvertedLines {
    let mut converter =
        Converter::new(identity(), PlatformOptions::default(), 0).counted_elsewhere();
    let body = format!("[{}]", events.join(","));
    for found in parse_batch(&body).events {
        converter.set_observed_time(OBSERVED);
        match found.record {
            TelemetryRecord::Platform(platform) => {
                converter.convert_platform_event(&event(found.text), *platform, true);
            }
            TelemetryRecord::Line { message, .. } => {
                converter.convert_function_text(&event(&message));
            }
        }
    }
    assert!(converter.waiting_bytes() > 0);
    converter.note_invocation_span(ID, &span());
    converter.finish()
}

fn of_stream(events: &[String]) -> ConvertedLines {
    let mut converter = converter();
    let body = format!("[{}]", events.join(","));
    for found in parse_batch(&body).events {
        let message = match &found.record {
            TelemetryRecord::Platform(_) => found.text,
            TelemetryRecord::Line { message, .. } => message,
        };
        converter.convert_log_event(&event(message));
    }
    converter.note_invocation_span(ID, &span());
    converter.finish()
}

#[test]
fn forwarder_and_extension_convert_lines_alike() {
    let line = |text: &str| {
        let text = serde_json::Value::from(text);
        format!(r#"{{"time":"{TIME}","type":"function","record":{text}}}"#)
    };
    let events = [
        start(),
        line("plain\n"),
        line("[ERROR]\t2026-09-21T14:13:20.123Z\t8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\tno\n"),
        line(r#"{"level":"WARN","message":"low","timestamp":"2026-09-21T14:13:20.123Z","n":1}"#),
        // A logger behind Node's prefix, in text and JSON, and as the message of Lambda's JSON log format.
        line(&format!(
            "{TIME}\t{ID}\tWARN\tapp:ERROR:declined\nTypeError: no stock\n    at pay (a.js:3)\n"
        )),
        line(&format!(
            "{TIME}\t{ID}\tINFO\t{}\n",
            r#"{"level":50,"msg":"declined","err":{"type":"ShopError","message":"no stock","stack":"ShopError: no stock\n    at pay (a.js:3)"}}"#
        )),
        format!(
            r#"{{"time":"{TIME}","type":"function","record":{{"timestamp":"{TIME}","level":"WARN","requestId":"{ID}","message":"14:13:20 | ERROR | shop.orders | declined"}}}}"#
        ),
        // Lambda's JSON log format passes a JSON object through unchanged.
        format!(
            r#"{{"time":"{TIME}","type":"function","record":{{"level":"DEBUG","message":"x","a":{{"b":true}}}}}}"#
        ),
        line(
            r#"{"_aws":{"Timestamp":1790000000000,"CloudWatchMetrics":[{"Namespace":"shop","Dimensions":[[]],"Metrics":[{"Name":"orders","Unit":"Count"}]}]},"orders":3}"#,
        ),
        line("\n"),
        report(),
    ];
    let extension = of_environment(&events);
    let forwarder = of_stream(&events);
    let all = |converted: &ConvertedLines| {
        converted.logs.iter().flat_map(render::log_records).collect::<Vec<_>>()
    };
    assert_eq!(all(&extension), all(&forwarder));
    assert_eq!(all(&extension).len(), 9);
    for (_, record) in all(&extension) {
        assert_eq!(
            (record.trace_id.as_slice(), record.span_id.as_slice()),
            (&[7; 16][..], &[8; 8][..])
        );
    }
    let scopes = extension.metrics.unwrap().scope_metrics;
    let names: Vec<_> = scopes.iter().flat_map(|scope| &scope.metrics).map(|of| &of.name).collect();
    assert_eq!(names, ["orders"], "another aggregator has the report's");
}

/// One at a time or several, text or JSON, forwarder or extension: a line belongs to the only running invocation, or to none.
#[test]
fn a_line_among_concurrent_invocations_belongs_to_none() {
    const OTHER: &str = "b2d4a1f0-0b57-4f5e-9f2d-7c1f5d9e0c22";
    let platform = |kind: &str, id: &str, text: &str| match kind {
        "text" => format!("{text} RequestId: {id} Version: 7\n"),
        _ => format!(
            r#"{{"time":"{TIME}","type":"platform.{}","record":{{"requestId":"{id}"}}}}"#,
            if text == "START" { "start" } else { "report" }
        ),
    };
    let lines = |kind: &str| {
        [
            platform(kind, ID, "START"),
            "the only one".to_owned(),
            platform(kind, OTHER, "START"),
            "one of two".to_owned(),
            platform(kind, ID, "END"),
            "the other one".to_owned(),
            platform(kind, OTHER, "END"),
            "after both".to_owned(),
        ]
    };
    let owners = |converted: ConvertedLines| -> Vec<String> {
        let records = render::log_records(&converted.logs.unwrap()).into_iter();
        let of_lines = records.filter(|(scope, _)| scope == "lambda-otlp/logs");
        let owner = |record: &LogRecord| {
            text(&record.attributes, names::FAAS_INVOCATION_ID).unwrap_or_default().to_owned()
        };
        of_lines.map(|(_, record)| owner(&record)).collect()
    };
    let of_log = |kind: &str| {
        let mut converter = converter();
        for line in lines(kind) {
            converter.convert_log_event(&event(&line));
        }
        owners(converter.finish())
    };
    let of_environment = |one_at_a_time: bool| {
        let mut converter = converter().counted_elsewhere();
        for line in lines("json") {
            match platform_event(&line) {
                Some(platform) => {
                    converter.convert_platform_event(&event(&line), platform, one_at_a_time);
                }
                None => converter.convert_function_text(&event(&line)),
            }
        }
        owners(converter.finish())
    };
    let expected = [ID, "", OTHER, ""];
    assert_eq!(of_log("text"), expected);
    assert_eq!(of_log("json"), expected);
    assert_eq!(of_environment(false), expected);
    // The report of the first one was lost.
    assert_eq!(of_environment(true), [ID, OTHER, OTHER, ""]);
}

#[test]
fn each_invocation_yields_one_span_for_any_cut() {
    let lines = [
        format!("START RequestId: {ID} Version: 7\n"),
        format!("END RequestId: {ID}\n"),
        format!("REPORT RequestId: {ID}\tDuration: 102.25 ms\tInit Duration: 253.61 ms\t\n"),
        format!("2026-09-21T14:13:21.000Z {ID} Task timed out after 3.00 seconds\n\n"),
    ];
    let spans = |state: ConverterState, lines: &[String]| {
        let mut converter = converter().with_state(state).with_spans(false);
        for line in lines {
            converter.convert_log_event(&event(line));
        }
        let ConvertedLines { spans, state, .. } = converter.finish();
        (spans.map_or(0, |spans| spans.scope_spans[0].spans.len()), state)
    };
    for cut in 0..=lines.len() {
        let (first, second) = lines.split_at(cut);
        let (in_first, state) = spans(ConverterState::default(), first);
        assert_eq!(in_first + spans(state, second).0, 1, "{cut}");
        // In separate deliveries only the lines themselves are known.
        assert_eq!(in_first + spans(ConverterState::default(), second).0, 1, "{cut}");
    }
}

#[test]
fn each_failure_is_counted_once_for_any_cut() {
    let lines = [
        format!(r#"{{"type":"platform.start","record":{{"requestId":"{ID}"}}}}"#),
        format!(
            r#"{{"type":"platform.runtimeDone","record":{{"requestId":"{ID}","status":"error","errorType":"Runtime.ExitError"}}}}"#
        ),
        format!(
            r#"{{"type":"platform.report","record":{{"requestId":"{ID}","status":"error","metrics":{{"durationMs":5}}}}}}"#
        ),
    ];
    let lines = lines.map(|line| line.replacen('{', r#"{"time":"2026-09-21T14:13:20.000Z","#, 1));
    let errors = |lines: &[String], has_spans: bool| {
        let converter = converter();
        let mut converter = if has_spans { converter.with_spans(false) } else { converter };
        for line in lines {
            converter.convert_log_event(&event(line));
        }
        let metrics = converter.finish().metrics.into_iter();
        let scopes: Vec<_> = metrics.flat_map(|metrics| metrics.scope_metrics).collect();
        let points: Vec<String> =
            scopes.iter().map(|scope| render::points(&scope.metrics)).collect();
        let is_error = |point: &&str| point.starts_with("faas.errors ");
        points.concat().lines().filter(is_error).map(str::to_owned).collect::<Vec<_>>()
    };
    for cut in 0..=lines.len() {
        let (first, second) = lines.split_at(cut);
        for has_spans in [false, true] {
            let found = [errors(first, has_spans), errors(second, has_spans)].concat();
            let [point] = found.as_slice() else { panic!("{cut}, {has_spans}: {found:?}") };
            // Without spans, and in the next delivery, the report alone is known.
            let knows_type = has_spans && cut != 2;
            let error_type = if knows_type { "Runtime.ExitError" } else { "_OTHER" };
            let expected = format!("1 error.type={error_type}");
            assert!(point.ends_with(&expected), "{cut}, {has_spans}: {point}");
        }
    }
}

/// Chunks end anywhere, also between the function's root span and a line that it printed.
#[test]
fn a_root_span_that_ended_well_outweighs_text_that_a_later_chunk_has() {
    let lines = [
        format!("START RequestId: {ID} Version: 7\n"),
        format!("[ERROR] 2026-09-21T14:13:20.000Z {ID} ValueError: no stock\n"),
        format!("2026-09-21T14:13:20.000Z {ID} Task timed out after 3.00 seconds\n\n"),
        format!("END RequestId: {ID}\n"),
        format!("REPORT RequestId: {ID}\tDuration: 1.00 ms\tBilled Duration: 1 ms\t\n"),
    ];
    for (cut, has_spans) in [(1, false), (1, true), (lines.len(), false), (lines.len(), true)] {
        let with_spans = |made: Converter| if has_spans { made.with_spans(false) } else { made };
        let mut converter = with_spans(converter());
        let (first, second) = lines.split_at(cut);
        for line in first {
            converter.convert_log_event(&event(line));
        }
        converter.note_span_statement(ID, FunctionStatement::SpanSucceeded(RootWriter::Layer));
        assert_eq!(converter.failures().len(), 0, "{cut}, {has_spans}");
        let state = converter.finish().state;
        let mut converter = with_spans(self::converter().with_state(state));
        for line in second {
            converter.convert_log_event(&event(line));
        }
        assert_eq!(converter.failures().len(), 0, "{cut}, {has_spans}");
    }
}

#[test]
fn facts_repeated_from_another_line_are_bounded() {
    const LINES: usize = 40_000;
    let tenant = "t".repeat(256);
    let mut converter = converter();
    converter.convert_log_event(&event(&format!(
        "START RequestId: {ID} Version: 7 TenantId: {tenant}\n"
    )));
    (0..LINES).for_each(|_| converter.convert_function_text(&event("x")));
    let records = render::log_records(&converter.finish().logs.unwrap());
    let has_tenant = |(_, record): &(String, LogRecord)| record.attributes.len() == 2;
    let repeated = records.into_iter().filter(has_tenant).count();
    assert!((25_000..32_000).contains(&repeated), "{repeated}");
}
