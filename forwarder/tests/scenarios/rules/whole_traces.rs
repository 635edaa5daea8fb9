//! Rules about whole traces: the decision holds for all items of a trace in one event, in any order and split of its requests.

use super::support::*;
use crate::support::{
    Delivered, body, default_options, deliver_by, event_of, kinesis_event, line_of, pairs, payload,
};
use expect_test::expect;
use lambda_otlp_forwarder::{IngestPolicy, Options, RuleSet};
use proptest::prelude::*;
use std::fmt::Write as _;
use wire::Request;

pub(super) const KEEP_FAILED: &str = r#"
[[rule]]
name = "failed traces"
match.trace.failed = true
keep = true

[[rule]]
name = "the others"
sample = 0
"#;

fn deliver_chunks(event: lambda_otlp_forwarder::Event) -> Delivered {
    let mut options = default_options();
    // Each log event is a chunk.
    options.source.batch_bytes = 1;
    deliver(event, options)
}

fn deliver(event: lambda_otlp_forwarder::Event, options: Options) -> Delivered {
    let rules = RuleSet::parse(KEEP_FAILED).unwrap();
    deliver_by(event, options, IngestPolicy::any_time(), rules)
}

/// The names of spans and the bodies of log records.
fn kept(delivered: &Delivered) -> String {
    let mut out = String::new();
    for span in delivered.spans() {
        writeln!(out, "span {}", span.name).unwrap();
    }
    for record in delivered.records() {
        writeln!(out, "log {}", body(record).trim_end()).unwrap();
    }
    out
}

fn span_line(trace: u8, name: &str, status: i32, request_id: &str) -> String {
    let attributes = format!("faas.invocation_id={request_id}");
    line_of(traces("", "", vec![span(trace, name, 2, status, &attributes)]).bytes(), "traces")
}

#[test]
fn the_last_line_of_an_event_decides_about_its_first() {
    const FAILED: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
    const OTHER: &str = "b2d4a1f0-0b57-4f5e-9f2d-7c1f5d9e0c22";
    let lines = |id: &str, trace: u8, status: i32| {
        [
            format!("START RequestId: {id} Version: 7\n"),
            format!("2026-09-21T14:13:20.123Z\t{id}\tINFO\tfirst of {trace}\n"),
            line_of(
                logs("", "", vec![in_trace(log(9, &format!("SDK {trace}"), ""), trace)]).bytes(),
                "logs",
            ),
            span_line(trace, &format!("child {trace}"), 0, "another-id"),
            span_line(trace, &format!("root {trace}"), status, id),
            format!("END RequestId: {id}\n"),
            format!(
                "REPORT RequestId: {id}\tDuration: 3.50 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB\t\n"
            ),
        ]
    };
    let lines = [lines(FAILED, 1, 2), lines(OTHER, 2, 0)].concat();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let event = || event_of(&payload("/aws/lambda/orders", &lines).to_string());
    let in_chunks = deliver_chunks(event());
    expect![[r"
        span child 1
        span root 1
        log SDK 1
        log 2026-09-21T14:13:20.123Z	8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11	INFO	first of 1
        log REPORT RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11	Duration: 3.50 ms	Billed Duration: 4 ms	Memory Size: 128 MB	Max Memory Used: 64 MB
    "]].assert_eq(&kept(&in_chunks));
    let points = |delivered: &Delivered| delivered.report.ledger().items.data_points;
    let whole = deliver(event(), default_options());
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(kept(&whole)), sorted(kept(&in_chunks)));
    let too_large_to_keep = Options { kept_bytes: 0, ..default_options() };
    assert_eq!(kept(&deliver(event(), too_large_to_keep)), kept(&whole));
    assert!(points(&whole) > 0, "metrics are not sampled");
}

/// The records of a Kinesis event are one event, although each is answered for itself.
#[test]
fn a_failure_in_another_function_of_the_same_event_counts() {
    let record = |log_group: &str, line: &str| {
        let text = payload(log_group, &[line]).to_string();
        base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            wire::gzip::compress(6, text.as_bytes()),
        )
    };
    let first = record("/aws/lambda/orders", &span_line(1, "caller", 0, "a"));
    let other = record("/aws/lambda/users", &span_line(2, "another trace", 0, "b"));
    let failed = record("/aws/lambda/stock", &span_line(1, "callee", 2, "c"));
    let delivered = deliver(kinesis_event([first.clone(), other, failed]), default_options());
    expect![[r"
        span caller
        span callee
    "]]
    .assert_eq(&kept(&delivered));
    let alone = deliver(kinesis_event([first]), default_options());
    assert_eq!(kept(&alone), "");
}

/// Anybody who can log a key could otherwise have the records of an invocation dropped.
#[test]
fn only_spans_and_lambdas_report_make_a_trace_cold() {
    const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
    const DROP_COLD: &str = "[[rule]]\nname = \"cold\"\nmatch.trace.cold = true\ndrop = true\n";
    let kept_of = |last: &str| {
        let first = format!("2026-09-21T14:13:20.123Z\t{ID}\tINFO\tneighbour\n");
        let event = event_of(&payload("/aws/lambda/orders", &[&first, last]).to_string());
        let rules = RuleSet::parse(DROP_COLD).unwrap();
        kept(&deliver_by(event, default_options(), IngestPolicy::any_time(), rules))
    };
    let content =
        format!(r#"{{"level":"INFO","message":"x","requestId":"{ID}","faas.coldstart":true}}"#);
    assert_eq!(kept_of(&content).lines().count(), 2);
    let report = format!(
        "REPORT RequestId: {ID}\tDuration: 3.50 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB\tInit Duration: 90.00 ms\t\n"
    );
    assert_eq!(kept_of(&report), "");
}

const CONDITIONS: [&str; 10] = [
    "",
    "match.trace.failed = true",
    "match.trace.failed = false",
    "match.trace.cold = true",
    "match.trace.duration = { above = \"1s\" }",
    "match.trace.attributes.a = 1",
    "match.trace.attributes.a = { not = 1 }",
    "match.trace.attributes.b = { exists = false }",
    "unless.trace.failed = true",
    "match.severity = { below = \"WARN\" }",
];
const ACTIONS: [&str; 4] = ["keep = true", "drop = true", "sample = 0.5", "sample = 0.2"];
const ATTRIBUTES: [&str; 8] = [
    "",
    "faas.invocation_id=r1",
    "faas.invocation_id=r2",
    "faas.invocation_id=r1 faas.coldstart=true",
    "a=1 faas.invocation_id=r2 aws.lambda.duration_ms=1500.5",
    "a=2 b=1",
    "aws.xray.trace_id=1-01010101-010101010101010101010101 faas.invocation_id=r3",
    "aws.xray.trace_id=1-02020202-020202020202020202020202 faas.invocation_id=r3",
];

/// An item, with a number that tells it from equal ones.
#[derive(Clone, Debug)]
struct RandomItem {
    number: usize,
    is_span: bool,
    trace: u8,
    level: u8,
    attributes: &'static str,
}

impl RandomItem {
    fn request(&self) -> Request {
        let Self { number, is_span, trace, level, attributes } = self;
        let attributes = format!("number={number} {attributes}");
        if !is_span {
            let record = log(i32::from(*level) * 8 + 1, "text", &attributes);
            return logs("", "", vec![in_trace(record, *trace)]);
        }
        let mut span = span(*trace, "name", 2, i32::from(*level), &attributes);
        span.start_time_unix_nano = 1_790_000_000_000_000_000 + u64::from(*level) * 700_000_000;
        span.end_time_unix_nano = span.start_time_unix_nano + 400_000_000;
        traces("", "", vec![span])
    }
}

fn given() -> impl Strategy<Value = Vec<RandomItem>> {
    let item = (any::<bool>(), 0..4_u8, 0..3_u8, 0..ATTRIBUTES.len());
    prop::collection::vec(item, 1..12).prop_map(|items| {
        let item = |(number, (is_span, trace, level, attributes))| RandomItem {
            number,
            is_span,
            trace,
            level,
            attributes: ATTRIBUTES[attributes],
        };
        items.into_iter().enumerate().map(item).collect()
    })
}

/// The items that rules kept, in order of their numbers.
fn kept_of(rules: &RuleSet, requests: Vec<Request>) -> Vec<String> {
    let (left, _) = apply(rules, &place(), requests);
    let left = crate::support::Telemetry::of(&left);
    let spans = left.spans().map(|span| format!("{}{}", span.trace_state, pairs(&span.attributes)));
    let records = left.records().map(|record| pairs(&record.attributes));
    let mut kept: Vec<String> = spans.chain(records).collect();
    kept.sort();
    kept
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn order_and_split_of_an_event_do_not_matter(
        items in given(),
        order in any::<prop::sample::Index>(),
        rules in prop::collection::vec((0..CONDITIONS.len(), 0..ACTIONS.len()), 1..4),
    ) {
        let rule = |(at, (condition, action)): (usize, &(usize, usize))| {
            let condition = CONDITIONS[*condition];
            format!("[[rule]]\nname = \"{at}\"\n{}\n{condition}\n", ACTIONS[*action])
        };
        let text: String = rules.iter().enumerate().map(rule).collect();
        let rules = RuleSet::parse(&text).unwrap();
        let requests: Vec<Request> = items.iter().map(RandomItem::request).collect();
        let mut others = requests.clone();
        others.rotate_left(order.index(items.len()));
        others.reverse();
        let mut merged = others.clone();
        merged.sort_by_key(|request| request.kind() as usize);
        let merged: Vec<Request> = merged
            .chunk_by(|one, next| one.kind() == next.kind())
            .map(|of_kind| {
                let bytes = of_kind.iter().flat_map(Request::bytes).copied().collect();
                Request::trusted(of_kind[0].kind(), bytes)
            })
            .collect();
        let expected = kept_of(&rules, requests);
        prop_assert_eq!(&expected, &kept_of(&rules, others), "{}", text);
        prop_assert_eq!(&expected, &kept_of(&rules, merged), "{}", text);
    }
}
