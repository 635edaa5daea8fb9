use super::*;
use crate::invocations::identity::identity;
use extensions_api::Registration;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::HashMap;
use std::io::Write as _;
use std::time::Duration;
use tempfile::NamedTempFile;
use wire::RootWriter;
use wire::invocation_record::{WRITTEN_FAILED, record};

type Variables<'v> = &'v [(&'v str, &'v str)];

const MANAGED: (&str, &str) = ("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances");

/// A table, and our exporter's records.
struct Script {
    table: InvocationTable,
    file: NamedTempFile,
    counts: Arc<Counts>,
    /// The time of the last event.
    now_ms: u64,
}

impl Script {
    fn new(variables: Variables<'_>) -> Self {
        let source: HashMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let config = Config::from_source(&source);
        assert_eq!(config.complaint(), "");
        let file = NamedTempFile::new().unwrap();
        let records = file.path().to_str().unwrap().to_owned();
        let (function, counts) =
            (identity(&config, &Registration::default()), Arc::new(Counts::default()));
        let mut table = InvocationTable::new(&config, function, Arc::clone(&counts), records, 0);
        table.note_subscription();
        Self { table, file, counts, now_ms: 0 }
    }

    /// Takes a step at a time in seconds:
    /// `invoke a 10`; the events `start a 10`, `done a 11`, `report a 12`; `handler a 10` for start and end a second later, and
    /// `all a 10` for these and INVOKE and the report;
    /// `root a 10.1 7` for a received root span with this id that names the invocation, or not as `root - 10.1 7`;
    /// `record 7` for the exporter's record of a root of `a`, with ` open`, ` failed` or ` unsampled`;
    /// `due` and `close REASON 13`, which return the spans.
    fn step(&mut self, step: &str) -> Option<Vec<String>> {
        let words: Vec<&str> = step.split_whitespace().collect();
        let text = |at: usize| words.get(at).copied().unwrap_or_default();
        let ms = |at: usize| {
            let time = Duration::from_secs_f64(text(at).parse().unwrap());
            u64::try_from(time.as_millis()).unwrap()
        };
        let id = || text(3).parse::<u8>().unwrap();
        match text(0) {
            "invoke" => self.table.begin_invocation(text(1), "", ms(2)),
            "start" => self.event(EventKind::Start, text(1), ms(2)),
            "done" => self.event(EventKind::RuntimeDone, text(1), ms(2)),
            "report" => self.event(EventKind::Report, text(1), ms(2)),
            "handler" => {
                self.event(EventKind::Start, text(1), ms(2));
                self.event(EventKind::RuntimeDone, text(1), ms(2) + 1000);
            }
            "all" => {
                self.table.begin_invocation(text(1), "", ms(2));
                self.step(&step.replace("all", "handler"));
                self.event(EventKind::Report, text(1), ms(2) + 2000);
            }
            "root" => {
                let ids = SpanIds {
                    request_id: None,
                    trace_id: [id(); 16],
                    span_id: [id(); 8],
                    parent_span_id: None,
                    is_entry: false,
                    start_unix_nano: ms(2) * 1_000_000,
                    error: None,
                    complete_root_of: None,
                };
                let request_id = Some(text(1).to_owned()).filter(|name| name != "-");
                self.table.add_spans(vec![ReceivedSpan { request_id, ids, statement: None }]);
            }
            "record" => {
                let is_sampled = text(2) != "unsampled";
                let id = text(1).parse::<u8>().unwrap();
                let mut record = record("a", &[id; 16], &[id; 8], is_sampled).unwrap();
                match text(2) {
                    "" => *record.last_mut().unwrap() = b' ',
                    "failed" => *record.last_mut().unwrap() = WRITTEN_FAILED,
                    _ => {}
                }
                self.file.write_all(&record).unwrap();
            }
            "due" => return Some(described(&self.table.take_requests(false, self.now_ms))),
            "close" => return Some(described(&self.table.close(text(1), ms(2)))),
            other => panic!("{other}"),
        }
        None
    }

    fn event(&mut self, kind: EventKind, request_id: &str, ms: u64) {
        self.now_ms = ms;
        self.table.begin_delivery();
        let event = PlatformEvent {
            request_id: Some(request_id.to_owned()),
            time_unix_nano: Some(ms * 1_000_000),
            status: Some("success".to_owned()).filter(|_| kind != EventKind::Start),
            ..PlatformEvent::new(kind)
        };
        self.table.add_event(event, ms);
    }
}

/// The names of the metrics that count the ends of invocations.
fn counted_ends(requests: &[Request]) -> Vec<String> {
    let metrics = requests.iter().filter_map(Request::decode::<wire::Metrics>);
    metrics
        .flat_map(|request| request.unwrap().resource_metrics)
        .flat_map(|container| container.scope_metrics)
        .flat_map(|scope| scope.metrics)
        .map(|metric| metric.name)
        .filter(|name| ["faas.errors", "faas.invocations"].contains(&name.as_str()))
        .collect()
}

fn failure() -> Failure {
    Failure { error_type: Some("ValueError".to_owned()), message: Some("no stock".to_owned()) }
}

/// The entry span of the invocation `a`.
fn entry_span(statement: FunctionStatement) -> ReceivedSpan {
    let ids = SpanIds {
        request_id: None,
        trace_id: [7; 16],
        span_id: [7; 8],
        parent_span_id: None,
        is_entry: true,
        start_unix_nano: 10_000_000_000,
        error: None,
        complete_root_of: Some(RootWriter::Layer),
    };
    ReceivedSpan { request_id: Some("a".to_owned()), ids, statement: Some(statement) }
}

/// The evidence of a failure, before the start of its invocation, within it, and after its end.
struct FailureCase<'a> {
    name: &'static str,
    before: &'a dyn Fn(&mut Script),
    within: &'a dyn Fn(&mut Script),
    after: &'a dyn Fn(&mut Script),
    has_failed: bool,
}

/// In direct mode the extension sees what the runtime prints and what the library's spans state. AWS reports success.
#[test]
fn a_failure_that_only_runtime_or_library_state_counts_once_and_is_on_the_span() {
    let direct = [("LAMBDA_OTLP_OUTPUT", "otlp"), ("LAMBDA_OTLP_ENDPOINT", "http://127.0.0.1:1")];
    let printed = |script: &mut Script| {
        script.table.add_statements(vec![InvocationStatement {
            request_id: "a".to_owned(),
            statement: FunctionStatement::RuntimeLine(failure()),
            time_unix_nano: 10_500_000_000,
        }]);
    };
    let recorded = |script: &mut Script| {
        script.table.add_spans(vec![entry_span(FunctionStatement::SpanFailed(failure()))]);
    };
    let succeeded = |script: &mut Script| {
        let statement = FunctionStatement::SpanSucceeded(RootWriter::Layer);
        script.table.add_spans(vec![entry_span(statement)]);
    };
    let all = |script: &mut Script| {
        printed(script);
        succeeded(script);
        recorded(script);
        succeeded(script);
    };
    let none = |_: &mut Script| {};
    let printed_twice = |script: &mut Script| {
        printed(script);
        printed(script);
    };
    let both = |script: &mut Script| {
        printed(script);
        recorded(script);
    };
    let cases = [
        FailureCase {
            name: "nothing",
            before: &none,
            within: &none,
            after: &none,
            has_failed: false,
        },
        FailureCase {
            name: "the runtime's line, twice",
            before: &none,
            within: &printed_twice,
            after: &none,
            has_failed: true,
        },
        FailureCase {
            name: "a span before the start",
            before: &recorded,
            within: &none,
            after: &none,
            has_failed: true,
        },
        FailureCase { name: "both", before: &none, within: &both, after: &none, has_failed: true },
        FailureCase {
            name: "a line, and a root span that ended well",
            before: &succeeded,
            within: &printed,
            after: &none,
            has_failed: false,
        },
        FailureCase {
            name: "a root span that ended well after the end",
            before: &none,
            within: &printed,
            after: &succeeded,
            has_failed: false,
        },
        FailureCase {
            name: "spans that ended well beside one that failed",
            before: &none,
            within: &all,
            after: &succeeded,
            has_failed: true,
        },
        FailureCase {
            name: "a span after the end",
            before: &none,
            within: &none,
            after: &recorded,
            has_failed: true,
        },
    ];
    for FailureCase { name, before, within, after, has_failed } in cases {
        let mut script = Script::new(&direct);
        script.step("invoke a 10");
        before(&mut script);
        script.step("start a 10");
        within(&mut script);
        script.step("done a 11");
        after(&mut script);
        script.step("report a 12");
        let requests = script.table.close("spindown", 20_000);
        let spans = spans(&requests);
        let status = spans[0].status.clone().unwrap_or_default();
        assert_eq!((spans.len(), status.code), (1, if has_failed { 2 } else { 0 }), "{name}");
        let names = counted_ends(&requests);
        let expected = if has_failed { "faas.errors" } else { "faas.invocations" };
        assert_eq!(names, [expected], "{name}");
    }
}

fn spans(requests: &[Request]) -> Vec<Span> {
    let traces = requests.iter().filter_map(Request::decode::<wire::Traces>);
    let containers = traces.flat_map(|request| request.unwrap().resource_spans);
    containers.flat_map(|container| container.scope_spans).flat_map(|scope| scope.spans).collect()
}

/// Kind, milliseconds and status of each span, its own id where a step gave it, and that of its parent.
fn described(requests: &[Request]) -> Vec<String> {
    let given = |id: &[u8], word: &str| match id {
        [first, rest @ ..] if rest.iter().all(|byte| byte == first) => format!(" {word} {first}"),
        _ => String::new(),
    };
    let describe = |span: &Span| {
        let kind = if span.kind == 2 { "server" } else { "internal" };
        let millis = (span.end_time_unix_nano - span.start_time_unix_nano) / 1_000_000;
        let status = match span.status.as_ref().map_or(0, |status| status.code) {
            0 => "unset",
            1 => "ok",
            _ => "error",
        };
        let own = given(&span.span_id, "as");
        let parent = given(&span.parent_span_id, "below");
        format!("{kind} {millis} {status}{own}{parent}")
    };
    spans(requests).iter().map(describe).collect()
}

/// Tells a script, and compares the spans that its steps return.
fn check(variables: Variables<'_>, steps: &str, expected: &[&str]) {
    let mut script = Script::new(variables);
    let returned: Vec<String> = steps
        .split(';')
        .filter_map(|step| script.step(step))
        .map(|spans| spans.join(", "))
        .collect();
    assert_eq!(returned, expected, "{variables:?} {steps}");
}

const CHILD: &str = "internal 1000 unset below 7";
const SERVER: &str = "server 1000 unset";

#[test]
fn each_attempt_of_a_request_uses_its_own_root() {
    // The second has its record after the first one's, and the third none.
    check(
        &[],
        "record 7; all a 10; due; record 8; all a 20; due; all a 30; due",
        &[CHILD, "internal 1000 unset below 8", SERVER],
    );
    // Work of an earlier one may have sent a span without a name: the record says that this one is not sampled.
    check(
        &[],
        "record 7 unsampled; invoke a 10; root - 10.05 7; handler a 10; report a 12; due",
        &[""],
    );
}

#[test]
fn ends_that_are_read_after_a_retry_began_belong_to_the_first_attempt() {
    for (variables, steps) in [
        (&[][..], "invoke a 10; start a 10; root a 10.1 3; done a 11; report a 12; invoke a 20"),
        (&[], "invoke a 10; start a 10; root a 10.1 3; done a 11; invoke a 20; report a 12"),
        (&[], "invoke a 10; start a 10; root a 10.1 3; invoke a 20; done a 11; report a 12"),
        // Managed instances have no INVOKE.
        (&[MANAGED], "start a 10; root a 10.1 3; done a 11; report a 12"),
    ] {
        let mut script = Script::new(variables);
        for step in steps.split(';').chain(["start a 20"]) {
            script.step(step);
        }
        assert!(!script.table.is_runtime_done("a"), "{steps}");
        assert!(script.table.is_waiting_for_reports(), "{steps}");
        for step in ["root a 20.1 8", "done a 21", "report a 22"] {
            script.step(step);
        }
        assert!(!script.table.is_waiting_for_reports(), "{steps}");
        let due = spans(&script.table.take_requests(false, 0));
        let parents: Vec<&[u8]> = due.iter().map(|span| span.parent_span_id.as_slice()).collect();
        assert_eq!(parents, [[3; 8], [8; 8]], "{steps}");
    }
}

#[test]
fn the_open_root_of_a_failed_invocation_is_written() {
    let begun =
        |record: &str, end: &str| format!("record {record}; invoke a 10; start a 10; {end}");
    let server = "server 3000 error as 7";
    check(&[], &begun("7 open", "close timeout 13"), &[server]);
    check(&[], &begun("7 open", "close failure 13"), &[server]);
    check(&[], &begun("7", "close timeout 13"), &["internal 3000 error below 7"]);
    check(&[], &begun("7 open", "done a 11; due"), &[CHILD]);
}

/// Lambda reports a success, and the spans of our exporter do not pass through the extension.
#[test]
fn a_failure_in_the_exporters_record_is_on_the_span() {
    let failed = "internal 1000 error below 7";
    check(&[], "record 7 failed; invoke a 10; start a 10; done a 11; due", &[failed]);
    check(&[MANAGED], "record 7 failed; start a 10; report a 11; due", &[failed]);
    check(&[], "record 7 failed; all a 10; due; all b 20; due", &[failed, SERVER]);
}

#[test]
fn roots_belong_to_the_invocation_that_they_name_or_else_to_the_newest_before_them() {
    // A span of another library that has no parent, posted before the handler's.
    check(
        &[],
        "invoke a 10; root - 10.001 5; root a 10.005 7; root - 10.001 5; handler a 10; due",
        &[CHILD],
    );
    check(
        &[],
        "invoke a 10; root other 10.05 7; handler a 10; due; close spindown 13",
        &["", SERVER],
    );
    // The environment has sent a root, so the end of the second waits for it.
    check(
        &[],
        "invoke - 1; root - 1 6; handler - 1; report - 3; due; \
                 invoke a 10; handler a 10; invoke b 20; due; root - 10.005 7; due",
        &["internal 1000 unset below 6", "", CHILD],
    );
}

#[test]
fn variables_select_the_invocation_span_and_its_end() {
    for (choice, expected) in [("auto", CHILD), ("always", SERVER), ("never", "")] {
        check(
            &[("LAMBDA_OTLP_INVOCATION_SPAN", choice)],
            "record 7; invoke a 10; root a 10.005 7; handler a 10; due; close timeout 20",
            &[expected, ""],
        );
    }
    check(
        &[("LAMBDA_OTLP_SPAN_END", "report")],
        "invoke a 10; handler a 10; due; report a 12; due",
        &["", "server 2000 unset"],
    );
    // The function does not sample the second.
    let steps = "record 7; all a 10; due; all b 20; due; close spindown 30";
    let sampler = ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
    check(&[], steps, &[CHILD, SERVER, ""]);
    let all = ("OTEL_TRACES_SAMPLER", "parentbased_always_on");
    check(&[all], steps, &[CHILD, SERVER, ""]);
    check(&[sampler], steps, &[CHILD, "", ""]);
    let always = ("LAMBDA_OTLP_INVOCATION_SPAN", "always");
    check(&[sampler, always], steps, &[SERVER, SERVER, ""]);
    check(&[("OTEL_SDK_DISABLED", "true")], steps, &["", "", ""]);
}

#[test]
fn an_invocation_end_waits_for_a_root_sent_by_otlp() {
    // The batch of `b` comes when the environment wakes for `c`. The wait for an unsampled root ends with the next invocation.
    check(
        &[],
        "invoke a 10; root - 10 7; done a 11; report a 12; due; \
                 invoke b 20; handler b 20; due; report b 22; invoke c 30; root b 20.01 7; due; \
                 handler c 30; due; invoke d 40; handler d 40; due; close spindown 50",
        &["internal 0 unset below 7", "", CHILD, "", SERVER, SERVER],
    );
}

/// The library's file has as many records as invocations can be in one delivery or run at the same time.
#[test]
fn each_of_many_concurrent_invocations_finds_its_record() {
    let mut script = Script::new(&[MANAGED]);
    let ids: Vec<String> = (0..1600).map(|number| format!("request-{number}")).collect();
    for id in &ids {
        let record = record(id, &[1; 16], &[7; 8], true).unwrap();
        script.file.write_all(&record).unwrap();
        script.event(EventKind::Start, id, 10_000);
    }
    for id in &ids {
        script.event(EventKind::Report, id, 11_000);
    }
    let written = described(&script.table.take_requests(false, 11_000));
    assert_eq!(written, vec![CHILD; 1600]);
}

/// A managed instance has no `platform.runtimeDone`: the report is the end, and other invocations run meanwhile.
#[test]
fn a_report_without_a_runtime_done_waits_for_the_root_too() {
    // The library's record, and a root received before the report.
    check(&[MANAGED], "record 7; start a 10; report a 11; due", &[CHILD]);
    check(&[MANAGED], "start a 10; root a 10.1 7; report a 11; due", &[CHILD]);
    // The ends of others do not end the wait.
    let late = "start x 1; root x 1 6; report x 1; due; \
                start a 10; start b 10; report a 11; report b 11; due; root a 10.1 7; due; root b 10.1 8; due";
    let child = "internal 0 unset below 6";
    check(&[MANAGED], late, &[child, "", CHILD, "internal 1000 unset below 8"]);
    // No span of `b` comes.
    let missing =
        "start x 1; root x 1 6; report x 1; due; start b 10; report b 11; due; start c 22; due";
    check(&[MANAGED], missing, &[child, "", SERVER]);
}

#[test]
fn an_early_end_waits_for_its_invocation_or_is_foreign() {
    check(
        &[],
        "done a 11; report a 12; due; done b 21; invoke b 20; due; close spindown 30",
        &["", "server 0 unset", ""],
    );
}

#[test]
fn an_invocation_without_an_end_is_closed_at_shutdown() {
    for (reason, status) in [("timeout", "error"), ("FAILURE", "error"), ("spindown", "unset")] {
        let server = format!("server 3000 {status}");
        check(&[], &format!("invoke a 10; start a 10; due; close {reason} 13"), &["", &server]);
        // Telemetry was too slow to speak of it at all.
        check(&[], &format!("invoke a 10; close {reason} 13"), &[&format!("server 0 {status}")]);
    }
}

/// The limit of an environment that runs one invocation at a time.
const MAX_KNOWN: usize = 256;

#[test]
fn a_full_table_writes_surplus_spans_early_and_counts_them() {
    let mut script = Script::new(&[]);
    for number in 0..2000 {
        script.event(EventKind::Start, &format!("request-{number}"), 10_000);
    }
    let written = spans(&script.table.take_requests(true, 0)).len();
    assert!(script.table.invocations.len() <= MAX_KNOWN);
    let given_up = usize::try_from(script.counts.get(Count::TableFull)).unwrap();
    assert_eq!((written, given_up), (2000 - MAX_KNOWN, 2000 - MAX_KNOWN));
    // None is lost: they are written as they stood.
    assert_eq!(spans(&script.table.close("spindown", 20_000)).len(), MAX_KNOWN);
}

#[test]
fn invocations_awaiting_their_root_are_bounded_and_none_is_lost() {
    for (version_bytes, most) in [(1, MAX_DELAYED_CONCURRENT), (10_000, 200)] {
        let mut script = Script::new(&[MANAGED]);
        script.table.function_sends_roots = true;
        for number in 0..2000 {
            let event = PlatformEvent {
                request_id: Some(format!("request-{number}")),
                version: Some("v".repeat(version_bytes)),
                ..PlatformEvent::new(EventKind::Report)
            };
            script.table.add_event(event, 10_000);
            assert!(script.table.delayed_ends.len() <= most);
        }
        let early = spans(&script.table.take_requests(true, 10_000)).len();
        assert!(early <= 2000 - most / 2, "{early}");
        assert_eq!(early + spans(&script.table.close("spindown", 20_000)).len(), 2000);
    }
}
