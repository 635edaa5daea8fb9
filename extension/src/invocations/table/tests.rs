use super::*;
use extensions_api::Registration;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::BTreeMap;
use std::io::Write as _;
use tempfile::NamedTempFile;
use wire::invocation_record::record;

const FIRST: &str = "3da1f2dc-3222-475e-9205-e2e6c6318895";
const SECOND: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
const ROOT: RootSpan =
    RootSpan { trace_id: [3; 16], span_id: [7; 8], is_open: false, is_sampled: true };

/// A table and its requests.
struct Story {
    table: InvocationTable,
    /// Our exporter's records.
    file: NamedTempFile,
    counts: Arc<Counts>,
}

impl Story {
    fn new(variables: &[(&str, &str)]) -> Self {
        let source: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let config = Config::from_source(&source);
        assert_eq!(config.complaint(), "");
        let registration = Registration {
            function_name: "orders".to_owned(),
            function_version: "7".to_owned(),
            account_id: Some("123456789012".to_owned()),
        };
        let file = NamedTempFile::new().unwrap();
        let records = file.path().to_str().unwrap().to_owned();
        let counts = Arc::new(Counts::default());
        let mut table = InvocationTable::new(
            &config,
            identity::identity(&config, &registration),
            Arc::clone(&counts),
            records,
        );
        table.subscribed();
        Self { table, file, counts }
    }

    fn record(&mut self, root: RootSpan) {
        let RootSpan { trace_id, span_id, is_open, is_sampled } = root;
        let mut record = record(FIRST, &trace_id, &span_id, is_sampled).unwrap();
        if is_sampled && !is_open {
            record.pop();
            record.push(b' ');
        }
        self.file.write_all(&record).unwrap();
    }

    fn invoke(&mut self, request_id: &str, now_ms: u64) {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders:live";
        self.table.invoke(request_id, arn, now_ms);
    }

    fn event(&mut self, kind: EventKind, request_id: &str, ms: u64) {
        let event = PlatformEvent {
            request_id: Some(request_id.to_owned()),
            time_unix_nano: Some(ms * 1_000_000),
            status: Some("success".to_owned()).filter(|_| kind != EventKind::Start),
            ..PlatformEvent::new(kind)
        };
        self.table.event(event, ms);
    }

    /// A whole invocation from start to report, with a second between its parts.
    fn invocation(&mut self, request_id: &str, ms: u64) {
        self.invoke(request_id, ms);
        self.handler(request_id, ms);
        self.event(EventKind::Report, request_id, ms + 2000);
    }

    /// Start and end of the handler, a second apart.
    fn handler(&mut self, request_id: &str, ms: u64) {
        self.event(EventKind::Start, request_id, ms);
        self.event(EventKind::RuntimeDone, request_id, ms + 1000);
    }

    fn root_by_otlp(&mut self, request_id: Option<&str>, start_ms: u64) {
        let request_id = request_id.map(str::to_owned);
        let RootSpan { trace_id, span_id, .. } = ROOT;
        let start_unix_nano = start_ms * 1_000_000;
        self.table.roots(vec![root(request_id, trace_id, span_id, start_unix_nano)]);
    }

    /// Describes the due spans: kind, duration in seconds, and parent.
    fn due(&mut self) -> String {
        let requests = self.table.take_due(0);
        spans(&requests).iter().map(describe).collect::<Vec<_>>().join(", ")
    }

    fn close(&mut self, reason: &str, now_ms: u64) -> String {
        let requests = self.table.close(reason, now_ms);
        spans(&requests).iter().map(describe).collect::<Vec<_>>().join(", ")
    }
}

fn root(
    request_id: Option<String>,
    trace_id: [u8; 16],
    span_id: [u8; 8],
    start_unix_nano: u64,
) -> ReceivedSpan {
    ReceivedSpan { request_id, trace_id, span_id, start_unix_nano, ..ReceivedSpan::default() }
}

fn spans(requests: &[Request]) -> Vec<Span> {
    let traces = requests.iter().filter_map(Request::decode::<wire::Traces>);
    let containers = traces.flat_map(|request| request.unwrap().resource_spans);
    containers.flat_map(|container| container.scope_spans).flat_map(|scope| scope.spans).collect()
}

fn describe(span: &Span) -> String {
    let kind = if span.kind == 2 { "server" } else { "internal" };
    let parent = if span.parent_span_id.is_empty() {
        "no parent"
    } else if span.parent_span_id == ROOT.span_id && span.trace_id == ROOT.trace_id {
        "child of the function's root"
    } else {
        "child"
    };
    let millis = (span.end_time_unix_nano - span.start_time_unix_nano) / 1_000_000;
    let status = match span.status.as_ref().map_or(0, |status| status.code) {
        0 => "unset",
        1 => "ok",
        _ => "error",
    };
    format!("{kind} of {millis} ms, {parent}, {status}")
}

#[test]
fn a_root_of_earlier_work_does_not_replace_the_record_of_an_invocation() {
    let mut story = Story::new(&[]);
    story.record(RootSpan { is_sampled: false, ..ROOT });
    story.invoke(FIRST, 10_000);
    story.root_by_otlp(None, 10_050);
    story.handler(FIRST, 10_000);
    story.event(EventKind::Report, FIRST, 12_000);
    assert_eq!(story.due(), "", "the invocation is not sampled");
}

#[test]
fn each_attempt_of_a_request_uses_its_own_root() {
    const AGAIN: RootSpan = RootSpan { trace_id: [4; 16], span_id: [8; 8], ..ROOT };
    let mut story = Story::new(&[]);
    story.record(ROOT);
    story.invocation(FIRST, 10_000);
    assert_eq!(story.due(), "internal of 1000 ms, child of the function's root, ok");
    // The second has its record behind the first one's, and the third none.
    story.record(AGAIN);
    story.invocation(FIRST, 20_000);
    let again = spans(&story.table.take_due(0));
    assert_eq!(again.len(), 1);
    assert_eq!(
        (again[0].trace_id.as_slice(), again[0].parent_span_id.as_slice()),
        (&AGAIN.trace_id[..], &AGAIN.span_id[..])
    );
    story.invocation(FIRST, 30_000);
    assert_eq!(story.due(), "server of 1000 ms, no parent, ok");
}

#[test]
fn ends_that_are_read_after_a_retry_began_belong_to_the_first_attempt() {
    let check = |variables: &[(&str, &str)], invoked: bool, read_in_time: usize| {
        let mut story = Story::new(variables);
        let begin = |story: &mut Story, ms| {
            if invoked {
                story.invoke(FIRST, ms);
            }
        };
        let root = |story: &mut Story, id: u8, ms: u64| {
            let (request_id, start_unix_nano) = (Some(FIRST.to_owned()), ms * 1_000_000);
            let (trace_id, span_id) = ([id; 16], [id; 8]);
            story.table.roots(vec![self::root(request_id, trace_id, span_id, start_unix_nano)]);
        };
        begin(&mut story, 10_000);
        story.event(EventKind::Start, FIRST, 10_000);
        root(&mut story, 3, 10_005);
        let ends = [(EventKind::RuntimeDone, 11_000), (EventKind::Report, 12_000)];
        let (in_time, late) = ends.split_at(read_in_time);
        for (kind, ms) in in_time {
            story.event(kind.clone(), FIRST, *ms);
        }
        begin(&mut story, 20_000);
        for (kind, ms) in late {
            story.event(kind.clone(), FIRST, *ms);
        }
        story.event(EventKind::Start, FIRST, 20_000);
        assert!(!story.table.is_runtime_done(FIRST), "{read_in_time}");
        assert!(story.table.is_waiting_for_reports(), "{read_in_time}");
        root(&mut story, 8, 20_005);
        story.event(EventKind::RuntimeDone, FIRST, 21_000);
        story.event(EventKind::Report, FIRST, 22_000);
        assert!(!story.table.is_waiting_for_reports(), "{read_in_time}");
        let spans = spans(&story.table.take_due(0));
        let parents: Vec<&[u8]> = spans.iter().map(|span| span.parent_span_id.as_slice()).collect();
        assert_eq!(parents, [[3; 8], [8; 8]], "{read_in_time}");
    };
    for read_in_time in [2, 1, 0] {
        check(&[], true, read_in_time);
    }
    // Managed instances have no INVOKE.
    check(&[("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances")], false, 2);
}

#[test]
fn the_open_root_of_a_failed_invocation_is_written() {
    let check = |reason: Option<&str>, is_open, expected: &str| {
        let mut story = Story::new(&[]);
        story.record(RootSpan { is_open, ..ROOT });
        story.invoke(FIRST, 10_000);
        story.event(EventKind::Start, FIRST, 10_000);
        let requests = if let Some(reason) = reason {
            story.table.close(reason, 13_000)
        } else {
            story.event(EventKind::RuntimeDone, FIRST, 11_000);
            story.table.take_due(0)
        };
        let spans = spans(&requests);
        assert_eq!(spans.iter().map(describe).collect::<Vec<_>>(), [expected], "{reason:?}");
        assert_eq!(spans[0].trace_id, ROOT.trace_id, "{reason:?}");
        assert_eq!(spans[0].span_id == ROOT.span_id, expected.starts_with("server"), "{reason:?}");
    };
    check(Some("timeout"), true, "server of 3000 ms, no parent, error");
    check(Some("failure"), true, "server of 3000 ms, no parent, error");
    check(Some("timeout"), false, "internal of 3000 ms, child of the function's root, error");
    check(None, true, "internal of 1000 ms, child of the function's root, ok");
}

#[test]
fn a_root_with_a_request_id_wins_over_one_without() {
    let mut story = Story::new(&[]);
    story.invoke(FIRST, 10_000);
    // A span of another library that has no parent, posted before the handler's.
    let other = root(None, [5; 16], [5; 8], 10_001_000_000);
    story.table.roots(vec![other.clone()]);
    story.root_by_otlp(Some(FIRST), 10_005);
    story.table.roots(vec![other]);
    story.handler(FIRST, 10_000);
    assert_eq!(story.due(), "internal of 1000 ms, child of the function's root, ok");
}

#[test]
fn a_variable_selects_the_invocation_span() {
    let check = |choice, expected: &str| {
        let mut story = Story::new(&[("LAMBDA_OTLP_INVOCATION_SPAN", choice)]);
        story.record(ROOT);
        story.invoke(FIRST, 10_000);
        story.root_by_otlp(Some(FIRST), 10_005);
        story.handler(FIRST, 10_000);
        assert_eq!(story.due(), expected, "{choice}");
        assert_eq!(story.close("timeout", 20_000), "", "{choice}");
    };
    check("auto", "internal of 1000 ms, child of the function's root, ok");
    check("always", "server of 1000 ms, no parent, ok");
    check("never", "");
}

#[test]
fn an_invocation_that_the_function_does_not_sample_has_no_span() {
    let check = |variables: &[(&str, &str)], expected: [&str; 2]| {
        let mut story = Story::new(variables);
        story.record(ROOT);
        for (request_id, ms) in [(FIRST, 10_000), (SECOND, 20_000)] {
            story.invocation(request_id, ms);
            assert_eq!(story.due(), expected[usize::from(request_id == SECOND)], "{variables:?}");
        }
        assert_eq!(story.close("spindown", 30_000), "", "{variables:?}");
    };
    let child = "internal of 1000 ms, child of the function's root, ok";
    let server = "server of 1000 ms, no parent, ok";
    check(&[], [child, server]);
    check(&[("OTEL_TRACES_SAMPLER", "parentbased_always_on")], [child, server]);
    let sampler = ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
    check(&[sampler], [child, ""]);
    check(&[sampler, ("LAMBDA_OTLP_INVOCATION_SPAN", "always")], [server, server]);
    check(&[("OTEL_SDK_DISABLED", "true")], ["", ""]);
}

#[test]
fn an_invocation_end_waits_for_a_root_sent_by_otlp() {
    let mut story = Story::new(&[]);
    story.invoke(FIRST, 10_000);
    story.root_by_otlp(None, 10_000);
    story.event(EventKind::RuntimeDone, FIRST, 11_000);
    story.event(EventKind::Report, FIRST, 12_000);
    assert_eq!(story.due(), "internal of 0 ms, child of the function's root, ok");
    // The batch of the second comes when the environment wakes for the next.
    story.invoke(SECOND, 20_000);
    story.handler(SECOND, 20_000);
    assert_eq!(story.due(), "");
    story.event(EventKind::Report, SECOND, 22_000);
    story.invoke("third", 30_000);
    story.root_by_otlp(Some(SECOND), 20_010);
    assert_eq!(story.due(), "internal of 1000 ms, child of the function's root, ok");
    // The wait for an unsampled root ends with the next invocation.
    story.handler("third", 30_000);
    assert_eq!(story.due(), "");
    story.invoke("fourth", 40_000);
    story.handler("fourth", 40_000);
    assert_eq!(story.due(), "server of 1000 ms, no parent, ok");
    assert_eq!(story.close("spindown", 50_000), "server of 1000 ms, no parent, ok");
}

#[test]
fn a_root_without_request_id_is_matched_by_start_time() {
    let mut story = Story::new(&[]);
    story.table.sends_roots = true;
    story.invoke(FIRST, 10_000);
    story.handler(FIRST, 10_000);
    story.invoke(SECOND, 20_000);
    assert_eq!(story.due(), "");
    story.root_by_otlp(None, 10_005);
    assert_eq!(story.due(), "internal of 1000 ms, child of the function's root, ok");
}

#[test]
fn the_report_ends_the_span_if_configured() {
    let mut story = Story::new(&[("LAMBDA_OTLP_SPAN_END", "report")]);
    story.invoke(FIRST, 10_000);
    story.handler(FIRST, 10_000);
    assert_eq!(story.due(), "");
    story.event(EventKind::Report, FIRST, 12_000);
    assert_eq!(story.due(), "server of 2000 ms, no parent, ok");
}

#[test]
fn an_early_end_waits_for_its_invocation_or_is_foreign() {
    let mut story = Story::new(&[]);
    story.event(EventKind::RuntimeDone, FIRST, 11_000);
    story.event(EventKind::Report, FIRST, 12_000);
    assert_eq!(story.due(), "");
    assert!(!story.table.is_waiting_for_reports());
    story.event(EventKind::RuntimeDone, SECOND, 21_000);
    story.invoke(SECOND, 20_000);
    assert_eq!(story.due(), "server of 0 ms, no parent, ok");
    assert_eq!(story.close("spindown", 30_000), "");
}

#[test]
fn an_invocation_without_an_end_is_closed_at_shutdown() {
    let check = |reason, expected: &str| {
        let mut story = Story::new(&[]);
        story.invoke(FIRST, 10_000);
        story.event(EventKind::Start, FIRST, 10_000);
        assert_eq!(story.due(), "");
        assert!(story.table.is_waiting_for_reports());
        assert_eq!(story.close(reason, 13_000), expected, "{reason}");
        // Telemetry was too slow to speak of it at all.
        let mut story = Story::new(&[]);
        story.invoke(FIRST, 10_000);
        assert_eq!(story.close(reason, 13_000).rsplit(", ").next(), expected.rsplit(", ").next());
    };
    check("timeout", "server of 3000 ms, no parent, error");
    check("FAILURE", "server of 3000 ms, no parent, error");
    check("spindown", "server of 3000 ms, no parent, unset");
}

#[test]
fn a_root_of_another_functions_invocation_makes_no_span() {
    let mut story = Story::new(&[]);
    story.invoke(FIRST, 10_000);
    story.root_by_otlp(Some("foreign"), 10_050);
    story.handler(FIRST, 10_000);
    assert_eq!(story.due(), "");
    assert_eq!(story.close("spindown", 13_000), "server of 1000 ms, no parent, ok");
}

#[test]
fn a_full_table_writes_surplus_spans_early_and_counts_them() {
    let mut story = Story::new(&[]);
    for number in 0..2000 {
        story.event(EventKind::Start, &format!("request-{number}"), 10_000);
    }
    let written = spans(&story.table.take_all(0)).len();
    assert!(story.table.known.len() <= Invocations::MAX_KNOWN);
    let given_up = usize::try_from(story.counts.get(Count::TableFull)).unwrap();
    assert_eq!((written, given_up), (2000 - Invocations::MAX_KNOWN, 2000 - Invocations::MAX_KNOWN));
    // None is lost: they are written as they stood.
    assert_eq!(spans(&story.table.close("spindown", 20_000)).len(), Invocations::MAX_KNOWN);
}

#[test]
fn invocations_awaiting_their_root_are_bounded_and_none_is_lost() {
    let managed = ("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances");
    let mut story = Story::new(&[managed]);
    story.table.sends_roots = true;
    for number in 0..1000 {
        // Reports only, as of a managed instance; each lets the others go.
        story.event(EventKind::Report, &format!("request-{number}"), 10_000 + number);
        assert!(story.table.held_back.len() <= MAX_HELD_BACK);
    }
    let early = spans(&story.table.take_all(0)).len();
    assert_eq!(early + spans(&story.table.close("spindown", 20_000)).len(), 1000);
}
