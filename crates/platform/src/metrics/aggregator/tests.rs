//! Tests of the aggregator by topic, with shared helpers in this file.

#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use super::*;
use crate::metrics::aggregator::OpenInvocations;
use crate::read::telemetry::{TelemetryRecord, parse_batch};
use crate::read::text;
use crate::render;
use expect_test::expect;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, NumberDataPoint};
use proptest::prelude::*;
use std::collections::BTreeMap;

const T0: u64 = 1_790_000_000_000_000_000;
const MS: u64 = 1_000_000;

const A: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
const B: &str = "b2d4a1f0-0b57-4f5e-9f2d-7c1f5d9e0c22";

/// The metrics of these lines, a millisecond apart; `A` and `B` stand for request ids.
fn metrics_of(lines: &[&str], shape: Shape, names: Names) -> Vec<Metric> {
    let mut aggregator = Aggregator::new(shape, names);
    for (at, line) in (0..).zip(lines) {
        let line = line.replace(" A", &format!(" {A}")).replace(" B", &format!(" {B}"));
        let event = text::parse(&line).unwrap_or_else(|| panic!("not Lambda's: {line}"));
        aggregator.add(&event, T0 + at * MS);
    }
    aggregator.finish_chunk().0
}

/// The short name of a counter.
fn short(name: &str) -> &str {
    match name {
        "faas.invocations" => "ok",
        "aws.lambda.invocations" => "all",
        name => name.trim_start_matches("faas.").trim_start_matches("aws.lambda."),
    }
}

/// The counters of these lines, `name=count`.
fn counters_of(lines: &[&str]) -> String {
    let metrics = metrics_of(lines, Shape::default(), Names::default());
    let sums: Vec<Metric> =
        metrics.into_iter().filter(|metric| matches!(metric.data, Some(Data::Sum(_)))).collect();
    let counter = |line: &str| {
        let (name, rest) = line.split_once(" [").unwrap();
        let value = rest.split_once("] ").unwrap().1;
        format!("{}={}", short(name), value.replace(" error.type=", ":"))
    };
    let mut counters: Vec<String> = render::points(&sums).lines().map(counter).collect();
    counters.sort();
    counters.join(" ")
}

#[track_caller]
fn check(lines: &[&str], expected: &str) {
    assert_eq!(counters_of(lines), expected, "{lines:#?}");
}

const START: &str = "START RequestId: A Version: 1";
const REPORT: &str = "REPORT RequestId: A\tDuration: 5 ms";
const REPORT_TIMEOUT: &str = "REPORT RequestId: A\tDuration: 5 ms\tStatus: timeout";
const REPORT_ERROR: &str =
    "REPORT RequestId: A\tDuration: 5 ms\tStatus: error\tError Type: Runtime.ExitError";
const REPORT_OOM: &str =
    "REPORT RequestId: A\tDuration: 5 ms\tStatus: error\tError Type: Runtime.OutOfMemory";
const TIMED_OUT: &str = "2024-03-04T17:22:38.033Z A Task timed out after 3.00 seconds";
const EXITED: &str =
    "RequestId: A Error: Runtime exited with error: exit status 1\nRuntime.ExitError";
const KILLED: &str =
    "RequestId: A Error: Runtime exited with error: signal: killed\nRuntime.ExitError";

fn counters_of_chunks(chunks: &[&[&str]]) -> BTreeMap<String, u64> {
    let mut open = OpenInvocations::default();
    let mut counts = BTreeMap::<String, u64>::new();
    for lines in chunks {
        let mut aggregator = Aggregator::default();
        aggregator.resume(open);
        for line in *lines {
            let line = line.replace(" A", &format!(" {A}")).replace(" B", &format!(" {B}"));
            aggregator.add(&text::parse(&line).unwrap(), T0);
        }
        let (metrics, next) = aggregator.finish_chunk();
        open = next;
        for metric in metrics {
            let Some(Data::Sum(sum)) = &metric.data else { continue };
            let name = short(&metric.name);
            for point in &sum.data_points {
                let value = render::number(point.value.as_ref()).parse::<u64>().unwrap();
                *counts.entry(name.to_owned()).or_default() += value;
            }
        }
    }
    counts
}

#[track_caller]
fn check_chunks(chunks: &[&[&str]], expected: &str) {
    let counts = counters_of_chunks(chunks);
    let counts: Vec<String> =
        counts.iter().map(|(name, count)| format!("{name}={count}")).collect();
    assert_eq!(counts.join(" "), expected, "{chunks:#?}");
}

#[test]
fn lines_of_one_invocation_in_two_chunks_count_once() {
    let timeout = "all=1 timeouts=1";
    check_chunks(&[&[START, TIMED_OUT], &[REPORT_TIMEOUT]], timeout);
    check_chunks(&[&[START, TIMED_OUT], &[REPORT]], timeout);
    check_chunks(&[&[START, REPORT_TIMEOUT], &[TIMED_OUT]], timeout);
    check_chunks(&[&[START], &[TIMED_OUT], &[REPORT_TIMEOUT]], timeout);
    check_chunks(&[&[START, TIMED_OUT], &[TIMED_OUT], &[REPORT_TIMEOUT]], timeout);
    let killed = "all=1 errors=1 out_of_memory=1";
    check_chunks(&[&[KILLED], &[REPORT_OOM]], killed);
    check_chunks(&[&[REPORT_OOM], &[KILLED]], killed);
    // A later attempt with the same request id counts.
    let twice = "all=2 timeouts=2";
    check_chunks(&[&[START, TIMED_OUT], &[REPORT_TIMEOUT, START, TIMED_OUT], &[REPORT]], twice);
    let half = "all=1 timeouts=2";
    check_chunks(&[&[START, TIMED_OUT], &[START, REPORT_TIMEOUT]], half);
    // The failure line of the older notation comes one chunk after its report, which was counted as a success.
    check_chunks(&[&[REPORT], &[TIMED_OUT]], "all=1 ok=1");
}

#[test]
fn the_newest_open_invocations_survive_between_batches() {
    let mut aggregator = Aggregator::default();
    let mut event = PlatformEvent::new(EventKind::Timeout);
    let ids: Vec<String> =
        (0..1000).map(|n| format!("8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e{n:04}")).collect();
    for (at, id) in (0..).zip(&ids) {
        event.request_id = Some(id.clone());
        aggregator.add(&event, T0 + at);
    }
    expect![[r#"
        faas.timeouts [{timeout}] 744
    "#]]
    .assert_eq(&render::points(&aggregator.take()));
    let (metrics, open) = aggregator.finish_chunk();
    assert_eq!(open.0.len(), Aggregator::MAX_OPEN);
    assert!(ids[1000 - Aggregator::MAX_OPEN..].iter().all(|id| open.0.contains_key(id)));
    expect![[r#"
        faas.timeouts [{timeout}] 256
    "#]]
    .assert_eq(&render::points(&metrics));
}

proptest! {
    /// The numbers of invocations, ends and exhausted memories do not depend on the cut into chunks. The kind of end may: a
    /// counted end stays counted.
    #[test]
    fn totals_do_not_depend_on_the_cut_into_chunks(
        lines in proptest::collection::vec(0..9usize, 0..30),
        size in 1..10usize,
    ) {
        const KINDS: [&str; 9] = [
            START,
            REPORT,
            REPORT_TIMEOUT,
            REPORT_OOM,
            TIMED_OUT,
            EXITED,
            KILLED,
            "START RequestId: B Version: 1",
            "REPORT RequestId: B\tDuration: 5 ms\tInit Duration: 1 ms",
        ];
        let lines: Vec<&str> = lines.into_iter().map(|at| KINDS[at]).collect();
        let chunks: Vec<&[&str]> = lines.chunks(size).collect();
        let totals = |chunks: &[&[&str]]| {
            let counts = counters_of_chunks(chunks);
            let count = |name: &str| counts.get(name).copied().unwrap_or_default();
            let ends = count("ok") + count("errors") + count("timeouts");
            (count("all"), ends, count("coldstarts"), count("out_of_memory"))
        };
        prop_assert_eq!(totals(&chunks), totals(&[&lines]));
    }
}

#[test]
fn each_invocation_counts_with_exactly_one_result() {
    // In the newer notation the report states everything.
    check(&[START, REPORT], "all=1 ok=1");
    check(&["REPORT RequestId: A\tStatus: success"], "all=1 ok=1");
    check(&[START, REPORT_TIMEOUT], "all=1 timeouts=1");
    check(&[START, REPORT_ERROR], "all=1 errors=1:Runtime.ExitError");
    check(&[START, REPORT_OOM], "all=1 errors=1:Runtime.OutOfMemory out_of_memory=1");
    check(&["REPORT RequestId: A\tStatus: failure"], "all=1 errors=1:_OTHER");

    // In the older one a separate line does, before or after the report.
    check(&[START, TIMED_OUT, REPORT], "all=1 timeouts=1");
    check(&[START, REPORT, TIMED_OUT], "all=1 timeouts=1");
    check(&[START, EXITED, REPORT], "all=1 errors=1:Runtime.ExitError");
    check(&[START, REPORT, EXITED], "all=1 errors=1:Runtime.ExitError");
    check(&[START, KILLED, REPORT], "all=1 errors=1:Runtime.OutOfMemory out_of_memory=1");
    check(&[START, REPORT, KILLED], "all=1 errors=1:Runtime.OutOfMemory out_of_memory=1");

    // If both are present, the status of the report wins.
    check(&[START, TIMED_OUT, REPORT_TIMEOUT], "all=1 timeouts=1");
    check(&[START, REPORT_TIMEOUT, TIMED_OUT], "all=1 timeouts=1");
    check(&[START, EXITED, REPORT_TIMEOUT], "all=1 timeouts=1");
    check(&[START, KILLED, REPORT_OOM], "all=1 errors=1:Runtime.OutOfMemory out_of_memory=1");
    check(&[START, REPORT_OOM, KILLED], "all=1 errors=1:Runtime.OutOfMemory out_of_memory=1");
    check(&[START, TIMED_OUT, TIMED_OUT, EXITED, REPORT], "all=1 timeouts=1");

    // The report came in another delivery, or never.
    check(&[START, TIMED_OUT], "timeouts=1");
    check(&[KILLED], "errors=1:Runtime.OutOfMemory out_of_memory=1");
    check(&["RequestId: A Process exited before completing request"], "errors=1:Runtime.ExitError");
    check(&[START], "");
}

#[test]
fn each_attempt_of_an_invocation_is_counted() {
    const REPORT_B: &str = "REPORT RequestId: B\tDuration: 5 ms";
    check(&[REPORT, REPORT_B], "all=2 ok=2");
    check(&[TIMED_OUT, REPORT_B, REPORT], "all=2 ok=1 timeouts=1");
    check(&[REPORT_B, TIMED_OUT], "all=1 ok=1 timeouts=1");

    // Lambda's retries of an asynchronous invocation keep its request id.
    check(&[START, REPORT_ERROR, START, REPORT], "all=2 errors=1:Runtime.ExitError ok=1");
    check(&[START, TIMED_OUT, REPORT, START, TIMED_OUT, REPORT], "all=2 timeouts=2");
    check(
        &[START, KILLED, REPORT_OOM, START, KILLED, REPORT_OOM],
        "all=2 errors=2:Runtime.OutOfMemory out_of_memory=2",
    );
    check(&[START, REPORT, START, REPORT_TIMEOUT], "all=2 ok=1 timeouts=1");
    check(&[REPORT, REPORT], "all=2 ok=2");
    check(&[START, TIMED_OUT, START, REPORT], "all=1 ok=1 timeouts=1");
}

#[test]
fn only_the_report_counts_a_cold_start() {
    check(&["REPORT RequestId: A\tInit Duration: 5 ms"], "all=1 coldstarts=1 ok=1");
    check(&["REPORT RequestId: A\tRestore Duration: 5 ms"], "all=1 coldstarts=1 ok=1");
    check(&["INIT_REPORT Init Duration: 5 ms Phase: init Status: error"], "");
    check(&["RESTORE_REPORT Restore Duration: 5 ms"], "");
}

#[test]
fn unknown_error_types_count_as_other() {
    for (said, counted) in [
        ("Runtime.ImportModuleError", "Runtime.ImportModuleError"),
        ("Extension.Crash", "Extension.Crash"),
        ("Function.Invented7391", "_OTHER"),
        ("runtime.exiterror", "_OTHER"),
    ] {
        let report = format!("REPORT RequestId: A\tStatus: error\tError Type: {said}");
        check(&[&report], &format!("all=1 errors=1:{counted}"));
    }
}

#[track_caller]
fn check_durations(lines: &[&str], expected: &[&str]) {
    let mut metrics = metrics_of(lines, Shape::default(), Names::default());
    metrics
        .retain(|metric| metric.name.ends_with("init_duration") || metric.name.contains("restore"));
    let points = render::points(&metrics);
    assert_eq!(points.lines().collect::<Vec<_>>(), expected, "{lines:#?}");
}

#[test]
fn each_init_or_restore_is_measured_once() {
    check_durations(
        &[
            "INIT_REPORT Init Duration: 100 ms Phase: init",
            "REPORT RequestId: A\tInit Duration: 100 ms",
        ],
        &["faas.init_duration [s] n=1 sum=0.10000 min=0.10000 max=0.10000"],
    );
    check_durations(
        &["INIT_REPORT Init Duration: 100 ms Phase: snap-start"],
        &["faas.init_duration [s] n=1 sum=0.10000 min=0.10000 max=0.10000"],
    );
    check_durations(
        &[
            "INIT_REPORT Init Duration: 100 ms Phase: init Status: error Error Type: Extension.Crash",
            "INIT_REPORT Init Duration: 200 ms Phase: invoke Status: timeout",
        ],
        &[
            "faas.init_duration [s] n=1 sum=0.10000 min=0.10000 max=0.10000 error.type=Extension.Crash",
            "faas.init_duration [s] n=1 sum=0.20000 min=0.20000 max=0.20000 error.type=timeout",
        ],
    );
    check_durations(
        &[
            "RESTORE_REPORT Restore Duration: 100 ms",
            "REPORT RequestId: A\tRestore Duration: 100 ms\tBilled Restore Duration: 90 ms",
        ],
        &[
            "aws.lambda.restore_duration [s] n=1 sum=0.10000 min=0.10000 max=0.10000",
            "aws.lambda.billed_restore_duration [s] n=1 sum=0.09000 min=0.09000 max=0.09000",
        ],
    );
    check_durations(
        &["RESTORE_REPORT Restore Duration: 100 ms Status: timeout"],
        &[
            "aws.lambda.restore_duration [s] n=1 sum=0.10000 min=0.10000 max=0.10000 error.type=timeout",
        ],
    );
}

fn histogram<'a>(metrics: &'a [Metric], name: &str) -> &'a HistogramDataPoint {
    let metric = metrics.iter().find(|metric| metric.name == name).unwrap();
    let Some(Data::Histogram(histogram)) = &metric.data else { panic!("{name} is no histogram") };
    &histogram.data_points[0]
}

fn sum<'a>(metrics: &'a [Metric], name: &str) -> &'a NumberDataPoint {
    let metric = metrics.iter().find(|metric| metric.name == name).unwrap();
    let Some(Data::Sum(sum)) = &metric.data else { panic!("{name} is no sum") };
    &sum.data_points[0]
}

#[test]
fn bucket_upper_bounds_are_inclusive() {
    let report = |ms: &str| format!("REPORT RequestId: A\tDuration: {ms} ms");
    let reports: Vec<String> = ["0", "5", "5.01", "10000", "10000.01", "900000"].map(report).into();
    let reports: Vec<&str> = reports.iter().map(String::as_str).collect();
    let metrics = metrics_of(&reports, Shape::Otlp, Names::default());
    let point = histogram(&metrics, "faas.invoke_duration");
    assert_eq!(point.bucket_counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!((point.count, point.min, point.max), (6, Some(0.0), Some(900.0)));
}

#[test]
fn request_ids_appear_in_no_metric() {
    let lines = [REPORT_ERROR, "REPORT RequestId: B\tDuration: 2000 ms\tInit Duration: 7 ms"];
    let metrics = format!("{:?}", metrics_of(&lines, Shape::default(), Names::default()));
    assert!(!metrics.contains(A) && !metrics.contains(B));
}

#[test]
fn a_point_has_the_time_of_its_newest_event() {
    let lines = [REPORT, "REPORT RequestId: B\tDuration: 300 ms"];
    let metrics = metrics_of(&lines, Shape::OpenObserve, Names::default());
    let point = histogram(&metrics, "faas.invoke_duration");
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (0, T0 + MS));
    let point = sum(&metrics, "faas.invocations");
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (0, T0 + MS));
}

#[test]
fn otlp_points_start_with_their_oldest_invocation() {
    let lines = [REPORT, "REPORT RequestId: B\tDuration: 300 ms"];
    let metrics = metrics_of(&lines, Shape::Otlp, Names::default());
    let point = histogram(&metrics, "faas.invoke_duration");
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (T0 + MS - 300 * MS, T0 + MS));
    let metrics =
        metrics_of(&["REPORT RequestId: A\tStatus: timeout"], Shape::Otlp, Names::default());
    let point = sum(&metrics, "faas.timeouts");
    assert!(point.start_time_unix_nano < point.time_unix_nano);
}

#[test]
fn the_newest_memory_limit_is_reported() {
    let lines =
        ["REPORT RequestId: A\tMemory Size: 128 MB", "REPORT RequestId: B\tMemory Size: 256 MB"];
    let metrics = metrics_of(&lines, Shape::default(), Names::default());
    assert!(render::points(&metrics).contains("aws.lambda.memory_limit [By] 268435456\n"));
}

#[test]
fn invalid_figures_are_counted_and_omitted() {
    let mut event = PlatformEvent::new(EventKind::Report);
    event.request_id = Some(A.to_owned());
    event.figures.duration_ms = Some(f64::NAN);
    event.figures.billed_duration_ms = Some(f64::INFINITY);
    event.figures.memory_size_mb = Some(-1.0);
    event.figures.max_memory_used_mb = Some(1e300);
    let mut aggregator = Aggregator::default();
    aggregator.add(&event, T0);
    // Billed GB-seconds derive from two of them.
    assert_eq!(aggregator.dropped_values(), 5);
    expect![[r#"
        aws.lambda.invocations [{invocation}] 1
        faas.invocations [{invocation}] 1
    "#]]
    .assert_eq(&render::points(&aggregator.finish_chunk().0));
}

#[test]
fn each_report_without_a_request_id_counts() {
    let report = PlatformEvent::new(EventKind::Report);
    let mut aggregator = Aggregator::default();
    aggregator.add(&report, T0);
    aggregator.add(&report, T0);
    expect![[r#"
        aws.lambda.invocations [{invocation}] 2
        faas.invocations [{invocation}] 2
    "#]]
    .assert_eq(&render::points(&aggregator.finish_chunk().0));
}

#[test]
fn legacy_names_add_the_older_gauges() {
    let lines = [
        "REPORT RequestId: A\tDuration: 102.25 ms\tBilled Duration: 356 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB\tInit Duration: 253.61 ms",
        "REPORT RequestId: B\tDuration: 2 ms\tBilled Duration: 3 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB",
    ];
    let current = metrics_of(&lines, Shape::default(), Names::Current);
    let legacy = metrics_of(&lines, Shape::default(), Names::Legacy);
    let added: Vec<Metric> =
        legacy.iter().filter(|metric| !current.contains(metric)).cloned().collect();
    expect![[r#"
        faas.init_duration [ms] 253.61
        aws.lambda.init_duration [ms] 253.61
        faas.duration [ms] 102.25
        faas.duration [ms] 2
        faas.invocation.duration [ms] 102.25
        faas.invocation.duration [ms] 2
        faas.billed_duration [ms] 356
        faas.billed_duration [ms] 3
        faas.max_memory [MB] 64
        faas.max_memory [MB] 64
        aws.lambda.max_memory_used [By] 67108864
        aws.lambda.max_memory_used [By] 67108864
        faas.coldstart [1] 1
        faas.coldstart [1] 0
    "#]]
    .assert_eq(&render::points(&added));
    let gone: Vec<&str> = current
        .iter()
        .filter(|metric| !legacy.contains(metric))
        .map(|metric| metric.name.as_str())
        .collect();
    assert_eq!(gone, ["faas.init_duration"]);
    let mut names: Vec<&str> = legacy.iter().map(|metric| metric.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), legacy.len(), "no name twice");
}

/// The Telemetry API events of one invocation without its report.
const TELEMETRY: [&str; 2] = [
    r#"[{"type":"platform.start","record":{"requestId":"r"}},
        {"type":"platform.runtimeDone","record":{"requestId":"r","status":"success","spans":[{"name":"responseLatency","durationMs":20},{"name":"responseDuration","durationMs":1},{"name":"runtimeOverhead","durationMs":2},{"name":"invented","durationMs":9}],"metrics":{"durationMs":23,"producedBytes":70}}},
        {"type":"platform.logsDropped","record":{"droppedRecords":123,"droppedBytes":9}}]"#,
    r#"[{"type":"platform.report","record":{"requestId":"r","status":"success","spans":[{"name":"extensionOverhead","durationMs":4}],"metrics":{"durationMs":27,"billedDurationMs":27,"memorySizeMB":128,"maxMemoryUsedMB":64}}}]"#,
];

fn metrics_of_telemetry(owner: Owner, batches: &[&str]) -> String {
    let mut aggregator = Aggregator::default().with_owner(owner);
    let mut text = String::new();
    for body in batches {
        for event in parse_batch(body).events {
            let TelemetryRecord::Platform(event) = event.record else { panic!("a line") };
            aggregator.add(&event, T0);
        }
        text.push_str(&render::points(&aggregator.take()));
        text.push_str("--\n");
    }
    text + &render::points(&aggregator.finish_chunk().0)
}

#[test]
fn each_metric_belongs_to_one_owner() {
    expect![[r#"
        aws.lambda.logs_dropped [{record}] 123
        aws.lambda.response_latency [s] n=1 sum=0.02000 min=0.02000 max=0.02000
        aws.lambda.response_duration [s] n=1 sum=0.00100 min=0.00100 max=0.00100
        aws.lambda.runtime_overhead [s] n=1 sum=0.00200 min=0.00200 max=0.00200
        aws.lambda.produced_bytes [By] n=1 sum=70.00000 min=70.00000 max=70.00000
        --
        aws.lambda.extension_overhead [s] n=1 sum=0.00400 min=0.00400 max=0.00400
        --
    "#]]
    .assert_eq(&metrics_of_telemetry(Owner::Extension, &TELEMETRY));
    expect![[r#"
        --
        aws.lambda.invocations [{invocation}] 1
        faas.invocations [{invocation}] 1
        faas.invoke_duration [s] n=1 sum=0.02700 min=0.02700 max=0.02700
        aws.lambda.billed_duration [s] n=1 sum=0.02700 min=0.02700 max=0.02700
        aws.lambda.billed_gb_seconds [GiBy.s] n=1 sum=0.00337 min=0.00337 max=0.00337
        faas.mem_usage [By] n=1 sum=67108864.00000 min=67108864.00000 max=67108864.00000
        aws.lambda.memory_utilization [1] n=1 sum=0.50000 min=0.50000 max=0.50000
        aws.lambda.memory_limit [By] 134217728
        --
    "#]]
    .assert_eq(&metrics_of_telemetry(Owner::Forwarder, &TELEMETRY));
    let lines = |owner| {
        let text = metrics_of_telemetry(owner, &TELEMETRY).replace("--\n", "");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let mut both = [lines(Owner::Forwarder), lines(Owner::Extension)].concat();
    both.sort();
    assert_eq!(lines(Owner::Sole), both);
}

#[test]
fn a_failed_runtime_is_counted_with_its_later_report() {
    let done = r#"[{"type":"platform.runtimeDone","record":{"requestId":"r","status":"timeout"}}]"#;
    let report = r#"[{"type":"platform.report","record":{"requestId":"r","status":"timeout"}}]"#;
    expect![[r#"
        --
        --
        aws.lambda.invocations [{invocation}] 1
        faas.timeouts [{timeout}] 1
        --
    "#]]
    .assert_eq(&metrics_of_telemetry(Owner::Sole, &[done, "[]", report]));
    expect![[r#"
        --
        faas.timeouts [{timeout}] 1
    "#]]
    .assert_eq(&metrics_of_telemetry(Owner::Sole, &[done]));
    // The report will arrive in CloudWatch, perhaps in another delivery.
    expect![[r#"
        --
    "#]]
    .assert_eq(&metrics_of_telemetry(Owner::Forwarder, &[done]));
}

#[test]
fn a_fault_counts_as_one_error_of_its_invocation() {
    let of_fault = |text: &str| {
        let fault = format!(r#"[{{"type":"platform.fault","record":"RequestId: {A} {text}"}}]"#);
        let report = format!(r#"[{{"type":"platform.report","record":{{"requestId":"{A}"}}}}]"#);
        metrics_of_telemetry(Owner::Sole, &[&fault, &report])
    };
    expect![[r#"
        --
        aws.lambda.invocations [{invocation}] 1
        faas.errors [{error}] 1 error.type=Runtime.ExitError
        --
    "#]]
    .assert_eq(&of_fault("Process exited before completing request"));
    let killed = r"Error: Runtime exited with error: signal: killed\nRuntime.ExitError\n";
    expect![[r#"
        aws.lambda.out_of_memory [{error}] 1
        --
        aws.lambda.invocations [{invocation}] 1
        faas.errors [{error}] 1 error.type=Runtime.OutOfMemory
        --
    "#]]
    .assert_eq(&of_fault(killed));
}

#[test]
fn managed_instances_report_response_metrics() {
    let report = r#"[{"type":"platform.report","record":{"requestId":"r","status":"success","metrics":{"durationMs":3.5},"spans":[{"name":"responseLatency","durationMs":3},{"name":"responseDuration","durationMs":0.5}]}}]"#;
    expect![[r#"
        aws.lambda.invocations [{invocation}] 1
        faas.invocations [{invocation}] 1
        faas.invoke_duration [s] n=1 sum=0.00350 min=0.00350 max=0.00350
        aws.lambda.response_latency [s] n=1 sum=0.00300 min=0.00300 max=0.00300
        aws.lambda.response_duration [s] n=1 sum=0.00050 min=0.00050 max=0.00050
        --
    "#]]
    .assert_eq(&metrics_of_telemetry(Owner::Sole, &[report]));
}
