//! The failure of an invocation that only its runtime prints: counted once, and on the span of the layer.
//!
//! One table: the forwarder alone, the layer in stdout mode beside it, and direct mode, whose extension uses the same parts of
//! `platform`.

use crate::support::{attribute, body, deliver, line_of, sum};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use platform::{
    Aggregator, Converter, EventKind, Failure, FunctionRoot, FunctionStatement, Identity,
    Invocations, LogSource, Names, Owner, PlatformEvent, PlatformOptions, Shape, SpanOptions,
    resource_spans, string_attribute,
};
use test_support::runtime_error_cases;
use wire::{FUNCTION_SCOPES, LIBRARY_SCOPE, Request, Signal as _, Traces};

const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
const OTHER: &str = "b2d4a1f0-0b57-4f5e-9f2d-7c1f5d9e0c22";
const T0: u64 = 1_790_000_000_000_000_000;
const MS: u64 = 1_000_000;

/// Counted errors and successes, and the span's status: code, error type and message.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    errors: u64,
    successes: u64,
    status: Vec<(i32, String, String)>,
}

impl Seen {
    fn of<'t>(
        metrics: impl Iterator<Item = &'t Metric>,
        spans: impl Iterator<Item = &'t Span>,
    ) -> Self {
        let mut seen = Self::default();
        for metric in metrics {
            match metric.name.as_str() {
                "faas.errors" => seen.errors += sum(metric) as u64,
                "faas.invocations" => seen.successes += sum(metric) as u64,
                _ => {}
            }
        }
        seen.status = spans.map(status).collect();
        seen
    }
}

fn status(span: &Span) -> (i32, String, String) {
    let status = span.status.clone().unwrap_or_default();
    let error_type = attribute(&span.attributes, "error.type").unwrap_or_default();
    (status.code, error_type.to_owned(), status.message)
}

fn event(kind: EventKind, status: Option<&str>, at_ms: u64) -> PlatformEvent {
    PlatformEvent {
        request_id: Some(ID.to_owned()),
        status: status.map(str::to_owned),
        time_unix_nano: Some(T0 + at_ms * MS),
        ..PlatformEvent::new(kind)
    }
}

/// The layer beside a forwarder.
struct Layer {
    metrics: Aggregator,
    invocations: Invocations,
}

impl Layer {
    fn new() -> Self {
        let metrics = Aggregator::new(Shape::default(), Names::default());
        let mut invocations = Invocations::default();
        invocations.make_spans(SpanOptions::default());
        Self { metrics: metrics.with_owner(Owner::Extension), invocations }
    }

    fn add(&mut self, event: &PlatformEvent, time: u64) {
        self.metrics.add(&mut self.invocations, event, time);
        self.invocations.add_event(event, time);
    }
}

/// The layer's line about an invocation. Lambda reports success, and the library's record may say that the handler failed.
fn line_of_layer(is_recorded: bool) -> String {
    let mut layer = Layer::new();
    layer.add(&event(EventKind::Start, None, 0), T0);
    if is_recorded {
        let failed = FunctionStatement::SpanFailed(Failure::default());
        layer.metrics.add_statement(&mut layer.invocations, ID, failed, T0);
    }
    layer.add(&event(EventKind::RuntimeDone, Some("success"), 5), T0 + 5 * MS);
    let spans = layer.invocations.take_finished();
    let code = spans[0].status.clone().unwrap_or_default().code;
    assert_eq!(code, if is_recorded { 2 } else { 0 }, "not OK: the layer cannot know");
    let of_resource = resource_spans(Resource::default(), platform::PLATFORM_SCOPE, spans);
    let request = Request::encode::<Traces>(&Traces::request(vec![of_resource]));
    line_of(request.bytes(), "traces")
}

fn forwarder(lines: &[String], of_layer: Option<&str>, json_status: Option<&str>) -> Seen {
    let mut start = format!("START RequestId: {ID} Version: 1\n");
    let mut end = format!("END RequestId: {ID}\nREPORT RequestId: {ID}\tDuration: 5.00 ms\t\n");
    if let Some(status) = json_status {
        let json = |kind: &str, more: &str| {
            format!(
                r#"{{"time":"2026-09-21T14:13:20.000Z","type":"platform.{kind}","record":{{"requestId":"{ID}"{more}}}}}"#
            )
        };
        start = json("start", "");
        end = json("report", &format!(r#","status":"{status}","metrics":{{"durationMs":5}}"#));
    }
    let mut messages = vec![start.as_str()];
    messages.extend(lines.iter().map(String::as_str));
    messages.extend(of_layer);
    messages.extend(end.split_inclusive('\n'));
    let delivered = deliver(&messages);
    Seen::of(delivered.metrics(), delivered.spans())
}

fn direct_mode(lines: &[String], done: &str, report: &str) -> Seen {
    let identity = Identity::of(&LogSource {
        account: "123456789012",
        region: None,
        log_group: "/aws/lambda/shop",
        log_stream: "2026/09/21/[1]0f4d8c0c8f7b4e7f9a1b2c3d4e5f6071",
    });
    let mut converter =
        Converter::new(identity, PlatformOptions::default(), T0).counted_elsewhere();
    let mut metrics =
        Aggregator::new(Shape::default(), Names::default()).with_owner(Owner::ExtensionAlone);
    let mut invocations = Invocations::default();
    invocations.make_spans(SpanOptions::default());
    let text = platform::LogEventRef { id: "", time_ms: 0, message: "{}" };
    let start = event(EventKind::Start, None, 0);
    metrics.add(&mut invocations, &start, T0);
    invocations.add_event(&start, T0);
    converter.convert_platform_event(&text, start, true);
    for line in lines {
        converter.note_printed_line(line, T0);
    }
    for event in
        [event(EventKind::RuntimeDone, Some(done), 5), event(EventKind::Report, Some(report), 6)]
    {
        let time = event.time_unix_nano.unwrap();
        converter.convert_platform_event(&text, event.clone(), true);
        for stated in converter.take_statements() {
            metrics.add_statement(&mut invocations, &stated.request_id, stated.statement, T0);
        }
        metrics.add(&mut invocations, &event, time);
        invocations.add_event(&event, time);
    }
    Seen::of(metrics.take(&mut invocations).iter(), invocations.take_finished().iter())
}

#[test]
fn the_runtimes_line_counts_once_and_fails_the_span_in_all_modes() {
    let of_layer = line_of_layer(false);
    let of_recorded = line_of_layer(true);
    for row in runtime_error_cases() {
        let name = format!("{}, {}", row.runtime, row.format);
        let check = |seen: Seen, has_failed: bool, has_span: bool, mode: &str| {
            let counts = (seen.errors, seen.successes);
            assert_eq!(counts, if has_failed { (1, 0) } else { (0, 1) }, "{name}, {mode}");
            let mut status = seen.status.into_iter();
            let Some((code, error_type, message)) = status.next() else {
                assert!(!has_span, "{name}, {mode}");
                return;
            };
            assert_eq!(code, if has_failed { 2 } else { 0 }, "{name}, {mode}");
            if has_failed {
                let expected = if row.error_type.is_empty() { "_OTHER" } else { &row.error_type };
                assert_eq!(error_type, expected, "{name}, {mode}");
                if let Some(expected) = &row.message {
                    assert_eq!(&message, expected, "{name}, {mode}");
                }
            }
        };
        let twice: Vec<String> = [row.lines.clone(), row.lines.clone()].concat();
        let logged = row.logged.clone();
        let then_more = [row.lines.clone(), vec!["done\n".to_owned()]].concat();
        for (lines, has_failed) in
            [(row.lines.clone(), true), (twice, true), (then_more, !row.only_last), (logged, false)]
        {
            if lines.is_empty() {
                continue;
            }
            check(forwarder(&lines, None, None), has_failed, false, "alone");
            check(forwarder(&lines, None, Some("success")), has_failed, false, "alone, JSON");
            check(forwarder(&lines, Some(&of_layer), None), has_failed, true, "stdout mode");
            // AWS says `success` after an error of the handler, and may say `error`.
            check(direct_mode(&lines, "success", "success"), has_failed, true, "direct mode");
            if has_failed {
                check(forwarder(&lines, Some(&of_recorded), None), true, true, "recorded");
                check(forwarder(&lines, None, Some("error")), true, false, "alone, JSON, error");
                check(direct_mode(&lines, "error", "error"), true, true, "direct mode, error");
            }
        }
    }
}

/// The entry span that the layer's wrapper or our library makes of an invocation, changed by `change`, as a line.
fn line_of_root(scope: &str, change: impl FnOnce(&mut Span)) -> String {
    let mut span = Span {
        trace_id: vec![7; 16],
        span_id: vec![8; 8],
        name: "shop".to_owned(),
        kind: SpanKind::Server as i32,
        start_time_unix_nano: T0,
        end_time_unix_nano: T0 + 5 * MS,
        attributes: vec![string_attribute("faas.invocation_id", ID)],
        ..Span::default()
    };
    change(&mut span);
    let of_resource = resource_spans(Resource::default(), scope, vec![span]);
    let request = Request::encode::<Traces>(&Traces::request(vec![of_resource]));
    line_of(request.bytes(), "traces")
}

fn set_error(span: &mut Span, error_type: &str) {
    span.status = Some(Status { code: 2, message: "no".to_owned() });
    span.attributes.push(string_attribute("error.type", error_type));
}

/// Texts of Lambda that a function can print, with its own request id.
fn texts_of_lambda() -> [String; 2] {
    [
        format!("2026-09-21T14:13:21.000Z {ID} Task timed out after 3.00 seconds\n\n"),
        format!(
            "RequestId: {ID} Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n"
        ),
    ]
}

#[test]
fn a_root_span_that_ended_well_outweighs_printed_text() {
    let printed = runtime_error_cases().into_iter().map(|row| row.lines);
    for lines in printed.chain(texts_of_lambda().map(|line| vec![line])) {
        for scope in FUNCTION_SCOPES {
            if scope == LIBRARY_SCOPE && lines.concat().ends_with("\nRuntime.ExitError\n") {
                // A function with the library can't print that as one log event.
                continue;
            }
            for own in [None, Some("500"), Some("batch_item_failures")] {
                let root = line_of_root(scope, |span| {
                    if let Some(own) = own {
                        set_error(span, own);
                    }
                });
                for json_status in [None, Some("success")] {
                    let seen = forwarder(&lines, Some(&root), json_status);
                    assert_eq!(
                        (seen.errors, seen.successes),
                        (0, 1),
                        "{lines:?}, {scope}, {own:?}"
                    );
                    let code = if own.is_some() { 2 } else { 0 };
                    assert_eq!(seen.status[0].0, code, "{lines:?}");
                    assert_eq!(seen.status.len(), 1);
                }
            }
        }
    }
}

/// Lambda refuses a response after the handler has succeeded. A report in text does not say so, and the layer's span does.
#[test]
fn what_lambda_told_the_layer_is_evidence() {
    let start = event(EventKind::Start, None, 0);
    let done = PlatformEvent {
        error_type: Some("Function.ResponseSizeTooLarge".to_owned()),
        ..event(EventKind::RuntimeDone, Some("error"), 5)
    };
    let mut layer = Layer::new();
    layer.add(&start, T0);
    let root =
        FunctionRoot { trace_id: [7; 16], span_id: [8; 8], is_open: false, is_sampled: true };
    assert!(layer.invocations.set_function_root(ID, root, T0));
    layer.add(&done, T0 + 5 * MS);
    let spans = layer.invocations.take_finished();
    let of_resource = resource_spans(Resource::default(), platform::PLATFORM_SCOPE, spans);
    let request = Request::encode::<Traces>(&Traces::request(vec![of_resource]));
    let of_layer = line_of(request.bytes(), "traces");
    for scope in FUNCTION_SCOPES {
        let lines = [line_of_root(scope, |_| {})];
        let seen = forwarder(&lines, Some(&of_layer), None);
        assert_eq!((seen.errors, seen.successes), (1, 0), "{scope}");
        for (code, error_type, _) in &seen.status {
            assert_eq!((*code, error_type.as_str()), (2, "Function.ResponseSizeTooLarge"));
        }
        assert_eq!(seen.status.len(), 2);
    }
}

/// In the older notation a report has no status. There, a line of Lambda counts beside a root span that ended well if the function
/// can't have printed it.
#[test]
fn a_line_of_lambda_is_proved_by_the_duration_or_by_its_form() {
    let [timeout, exit] = texts_of_lambda();
    let (first_line, _) = exit.split_once('\n').unwrap();
    let first_line = format!("{first_line}\n");
    let killed = exit.replace("exit status 1", "signal: killed");
    let by = |scope: &str| line_of_root(scope, |_| {});
    let [library, layer] = FUNCTION_SCOPES.map(by);
    for (printed, root, duration, expected) in [
        // The function printed it, and returned at once.
        (&timeout, &library, "5.00", None),
        (&timeout, &layer, "2985.00", None),
        // Lambda rounds the timeout, and reports it or a little more.
        (&timeout, &library, "3000.00", Some("timeout")),
        (&timeout, &layer, "3000.00", Some("timeout")),
        (&timeout, &layer, "2996.10", Some("timeout")),
        (&timeout, &layer, "3016.78", Some("timeout")),
        // The library does not see that the response can't be serialized, which ends the process. Such a function prints no line end
        // within a log event.
        (&exit, &library, "5.00", Some("Runtime.ExitError")),
        (&killed, &library, "5.00", Some("Runtime.OutOfMemory")),
        (&first_line, &library, "5.00", None),
        // The layer's wrapper has serialized the result.
        (&exit, &layer, "5.00", None),
    ] {
        let start = format!("START RequestId: {ID} Version: 1\n");
        let end = format!("END RequestId: {ID}\n");
        let report = format!("REPORT RequestId: {ID}\tDuration: {duration} ms\t\n");
        for order in [[root, printed], [printed, root]] {
            let [before, after] = order.map(String::as_str);
            let delivered = deliver(&[&start, before, after, &end, &report]);
            let seen = Seen::of(delivered.metrics(), delivered.spans());
            let name = format!("{printed:?} {duration} {}", root == &library);
            let is_error = expected.is_some_and(|own| own != "timeout");
            let counts = (u64::from(is_error), u64::from(expected.is_none()));
            assert_eq!((seen.errors, seen.successes), counts, "{name}");
            let (code, error_type, _) = &seen.status[0];
            let stated = (*code, Some(error_type.as_str()).filter(|own| !own.is_empty()));
            assert_eq!(stated, (if expected.is_some() { 2 } else { 0 }, expected), "{name}");
        }
    }
}

/// The record that our library makes of a handler's error, as a line.
fn record_of_library(request_id: &str, error_type: &str, message: &str) -> String {
    let record = serde_json::json!({
        "timeUnixNano": (T0 + 5 * MS).to_string(), "severityNumber": 17, "body": { "stringValue": "no stock" },
        "attributes": [
            { "key": "faas.invocation_id", "value": { "stringValue": request_id } },
            { "key": "exception.type", "value": { "stringValue": error_type } },
            { "key": "exception.message", "value": { "stringValue": message } },
            { "key": "lambda_otlp.exception.fingerprint", "value": { "stringValue": "0123456789abcdef" } },
        ],
    });
    let scope =
        serde_json::json!({ "scope": { "name": "lambda-otlp-exporter" }, "logRecords": [record] });
    let request = serde_json::json!({ "resourceLogs": [{ "scopeLogs": [scope] }] }).to_string();
    let request =
        Request::from_json(wire::SignalKind::Logs, request.as_bytes(), &wire::Limits::default());
    line_of(request.unwrap().bytes(), "logs")
}

/// A function with our library whose subscriber prints too, also the runtime's event about the error.
#[test]
fn an_error_that_the_library_records_is_no_second_record() {
    let start = format!("START RequestId: {ID} Version: 1\n");
    let end = format!("END RequestId: {ID}\nREPORT RequestId: {ID}\tDuration: 5.00 ms\t\n");
    let other = format!("2026-09-21T14:13:20.123Z  INFO shop: {ID} comes\n");
    let of_rust = runtime_error_cases().into_iter().filter(|row| row.runtime == "Rust");
    for row in of_rust.filter(|row| row.error_type != "panic") {
        let printed = row.lines.concat();
        let (error_type, message) = match row.message.as_deref() {
            Some(r#""no stock""#) => ("_OTHER", "no stock"),
            _ => ("shop::Declined", "order 7 is declined"),
        };
        for (record, is_repeated) in [
            (Some(record_of_library(ID, error_type, message)), true),
            // Another invocation's, or of another error: the function printed the line itself.
            (Some(record_of_library(OTHER, error_type, message)), false),
            (Some(record_of_library(ID, "_OTHER", "late")), false),
            (None, false),
        ] {
            for is_first in [true, false] {
                let mut messages = vec![start.as_str(), other.as_str()];
                messages.extend(record.as_deref().filter(|_| is_first));
                messages.push(&printed);
                messages.extend(record.as_deref().filter(|_| !is_first));
                messages.extend(end.split_inclusive('\n'));
                let delivered = deliver(&messages);
                let errors = delivered.records().filter(|record| record.severity_number >= 17);
                let expected = usize::from(record.is_some()) + usize::from(!is_repeated);
                assert_eq!(errors.count(), expected, "{}", row.format);
                let consumed = delivered.report.ledgers.total.consumed;
                assert_eq!(consumed.repeated_errors, usize::from(is_repeated), "{}", row.format);
                let of_other = delivered.records().filter(|record| body(record).contains("comes"));
                assert_eq!(of_other.count(), 1);
                let seen = Seen::of(delivered.metrics(), delivered.spans());
                assert_eq!((seen.errors, seen.successes), (1, 0), "{}", row.format);
            }
        }
    }
}

/// Each function fails and prints, and its root span may say that the handler succeeded.
#[test]
fn success_hides_no_failure_that_is_proved() {
    let line = runtime_error_cases().swap_remove(0).lines;
    let [timeout, exit] = texts_of_lambda();
    let root = |scope: &str, change: &dyn Fn(&mut Span)| line_of_root(scope, change);
    let good = root("lambda-otlp/handler", &|_| {});
    let of_library = root("lambda-otlp-exporter", &|_| {});
    let other = root("shop", &|_| {});
    let partial = root("lambda-otlp/handler", &|span| {
        let is_partial = any_value::Value::BoolValue(true);
        span.attributes.push(KeyValue {
            key: "lambda_otlp.partial".to_owned(),
            value: Some(AnyValue { value: Some(is_partial) }),
            ..KeyValue::default()
        });
    });
    let inner = root("lambda-otlp/handler", &|span| span.kind = 1);
    let of_another = root("lambda-otlp/handler", &|span| {
        span.attributes = vec![string_attribute("faas.invocation_id", OTHER)];
    });
    let failed = root("lambda-otlp/handler", &|span| set_error(span, "KeyError"));
    let failed_in_rust = root("lambda-otlp-exporter", &|span| set_error(span, "Declined"));
    let check = |lines: &[&str], span: &str, status: Option<&str>, expected: &str| {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let seen = forwarder(&lines, Some(span), status);
        let counted = u64::from(expected != "timeout");
        assert_eq!((seen.errors, seen.successes), (counted, 0), "{lines:?} {span} {status:?}");
        let of_ours = [&good, &of_library, &failed, &failed_in_rust];
        if of_ours.iter().any(|own| *own == span) {
            let (code, error_type, _) = &seen.status[0];
            assert_eq!((*code, error_type.as_str()), (2, expected), "{lines:?} {status:?}");
        }
    };
    let printed = line[0].as_str();
    // Lambda refused the response, or the process ended after it.
    for span in [&good, &of_library] {
        for lines in [&[][..], &[printed], &[timeout.as_str()], &[exit.as_str()]] {
            check(
                lines,
                span,
                Some("error"),
                match lines {
                    [own] if own == &printed => "ValueError",
                    [own] if *own == exit && span == &of_library => "Runtime.ExitError",
                    _ => "error",
                },
            );
        }
        check(&[printed], span, Some("failure"), "failure");
        check(&[printed], span, Some("timeout"), "timeout");
    }
    // The handler failed, whatever else it prints.
    check(&[printed], &failed, None, "KeyError");
    check(&[exit.as_str(), printed], &failed, Some("success"), "KeyError");
    check(&[printed], &failed_in_rust, None, "Declined");
    // Nothing of ours saw the handler succeed.
    for span in [&other, &partial, &inner, &of_another] {
        check(&[printed], span, None, "ValueError");
        check(&[exit.as_str()], span, None, "Runtime.ExitError");
        check(&[timeout.as_str()], span, None, "timeout");
    }
}

/// A failed init phase prints such a line too, and a function can print another request id.
#[test]
fn a_runtimes_line_belongs_to_a_running_invocation() {
    let count = |messages: &[&str]| {
        let delivered = deliver(messages);
        Seen::of(delivered.metrics(), delivered.spans())
    };
    let python = "[ERROR] ValueError: no stock\rTraceback (most recent call last):\r  File \"a\", line 5, in f\r";
    let start = format!("START RequestId: {ID} Version: 1\n");
    let report = format!("REPORT RequestId: {ID}\tDuration: 5.00 ms\t\n");
    let bref = |id: &str| {
        format!(
            "{id}\tInvoke Error\t{{\"errorType\":\"E\",\"errorMessage\":\"no\",\"stack\":[]}}\n"
        )
    };
    let check = |messages: &[&str], errors, successes| {
        let seen = count(messages);
        assert_eq!((seen.errors, seen.successes), (errors, successes), "{messages:#?}");
    };
    check(&[python, &start, &report], 0, 1);
    // The invocation began in an earlier delivery, or ends in a later one.
    check(&[python, &report], 1, 0);
    check(&[&start, python], 1, 0);
    check(&[python], 0, 0);
    check(&[&start, &bref(OTHER), &report], 0, 1);
    check(&[&start, &bref(ID), &bref(OTHER), python, &report], 1, 0);
    let killed = format!(
        "RequestId: {ID} Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n"
    );
    check(&[&start, python, &killed, &report], 1, 0);
}

/// As on a managed instance. A line that names no invocation is the failure of none.
#[test]
fn among_concurrent_invocations_only_a_line_that_names_its_own_counts() {
    let platform = |kind: &str, id: &str| {
        format!(
            r#"{{"time":"2026-09-21T14:13:20.000Z","type":"platform.{kind}","record":{{"requestId":"{id}","metrics":{{"durationMs":5}}}}}}"#
        )
    };
    for row in runtime_error_cases().into_iter().filter(|row| !row.lines.is_empty()) {
        let mut messages = vec![platform("start", ID), platform("start", OTHER)];
        messages.extend(row.lines.iter().cloned());
        messages.extend([platform("report", ID), platform("report", OTHER)]);
        let delivered = deliver(&messages.iter().map(String::as_str).collect::<Vec<_>>());
        let seen = Seen::of(delivered.metrics(), delivered.spans());
        let errors = u64::from(row.lines.concat().contains(ID));
        assert_eq!((seen.errors, seen.successes), (errors, 2 - errors), "{}", row.format);
    }
}
