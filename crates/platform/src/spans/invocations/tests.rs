//! Tests of the table of invocations by topic, with shared helpers in this file.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "times of the tests are small"
)]
#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use super::*;
use crate::options::{Names, SpanEnd, SpanMapping};
use crate::read::telemetry::{self, TelemetryRecord};
use crate::render;
use crate::spans::invocation::{FunctionRoot, XRaySegment};
use expect_test::{Expect, expect};
use proptest::prelude::*;

/// 2022-10-21T14:05:03Z.
const ZERO: u64 = 1_666_361_103_000_000_000;

const TRACING: &str = r#""tracing":{"spanId":"24cd7d670fa455f0","type":"X-Amzn-Trace-Id","value":"Root=1-6352a70e-1e2c502e358361800241fd45;Parent=35465b3a9e2f7c6a;Sampled=0"}"#;

fn options(mapping: SpanMapping, end: SpanEnd) -> SpanOptions {
    SpanOptions { mapping, end, function_name: String::from("orders"), ..SpanOptions::default() }
}

fn invocations(mapping: SpanMapping, end: SpanEnd) -> Invocations {
    Invocations::new(options(mapping, end))
}

/// With the phases as events, until the runtime is done.
fn by_default() -> Invocations {
    invocations(SpanMapping::SpanEvents, SpanEnd::RuntimeDone)
}

/// Adds events: seconds since `ZERO`, type, and fields of the record, in which `{t}` stands for the tracing.
fn feed(invocations: &mut Invocations, events: &[(f64, &str, &str)]) {
    for (seconds, kind, record) in events {
        let time = ZERO.saturating_add_signed((seconds * 1e3).round() as i64 * 1_000_000);
        let json = format!(
            r#"{{"time":"{}","type":"platform.{kind}","record":{{{}}}}}"#,
            wire::timestamp::rfc3339_millis(time),
            record.replace("{t}", TRACING)
        );
        let event = telemetry::parse(serde_json::from_str(&json).unwrap()).unwrap();
        let TelemetryRecord::Platform(platform) = event.record else { panic!("{json}") };
        invocations.observe(&platform, event.time_unix_nano.unwrap());
    }
}

fn shown(invocations: &mut Invocations) -> String {
    render::spans(&invocations.take_finished(), ZERO)
}

#[expect(clippy::needless_pass_by_value, reason = "as expect_test's macro gives it")]
fn check(options: SpanOptions, events: &[(f64, &str, &str)], expected: Expect) {
    let mut invocations = Invocations::new(options);
    feed(&mut invocations, events);
    expected.assert_eq(&shown(&mut invocations));
}

/// The events of a cold invocation, without its report.
const COLD: &[(f64, &str, &str)] = &[
    (
        -0.6,
        "initStart",
        r#""initializationType":"on-demand","phase":"init","runtimeVersion":"nodejs-14.v3","runtimeVersionArn":"arn:rv","functionVersion":"7""#,
    ),
    (
        -0.1,
        "initRuntimeDone",
        r#""initializationType":"on-demand","phase":"init","status":"success","spans":[{"name":"boot","start":"2022-10-21T14:05:02.500Z","durationMs":100}]"#,
    ),
    (
        -0.05,
        "initReport",
        r#""initializationType":"on-demand","phase":"init","metrics":{"durationMs":549.04}"#,
    ),
    (0.165, "start", r#""requestId":"r1","version":"7",{t}"#),
    (
        2.764,
        "runtimeDone",
        r#""requestId":"r1","status":"success",{t},"spans":[{"name":"responseLatency","start":"2022-10-21T14:05:03.165Z","durationMs":2598},{"name":"responseDuration","start":"2022-10-21T14:05:05:763Z","durationMs":0},{"name":"runtimeOverhead","start":2598.5,"durationMs":0.5}],"metrics":{"durationMs":2599,"producedBytes":8}"#,
    ),
];
const REPORT: (f64, &str, &str) = (
    2.766,
    "report",
    r#""requestId":"r1","status":"success",{t},"spans":[{"name":"extensionOverhead","start":"2022-10-21T14:05:05.764Z","durationMs":1.9}],"metrics":{"durationMs":2599.4,"billedDurationMs":2600,"memorySizeMB":128,"maxMemoryUsedMB":94,"initDurationMs":549.04}"#,
);

const WARM: &[(f64, &str, &str)] = &[
    (1.0, "start", r#""requestId":"r1""#),
    (1.5, "runtimeDone", r#""requestId":"r1","status":"success""#),
];

/// The record of a result, as `status` or `status error-type`.
fn result(text: &str) -> String {
    let (status, error_type) = text.split_once(' ').unwrap_or((text, ""));
    format!(r#""requestId":"r1","status":"{status}","errorType":"{error_type}""#)
}

const ROOT: FunctionRoot =
    FunctionRoot { trace_id: [7; 16], span_id: [9; 8], is_open: false, is_sampled: true };

#[test]
fn a_function_root_makes_the_invocation_an_internal_child() {
    for mapping in [SpanMapping::SpanEvents, SpanMapping::ChildSpans] {
        let mut invocations = invocations(mapping, SpanEnd::RuntimeDone);
        assert!(invocations.function_root("r1", ROOT, ZERO));
        feed(&mut invocations, &[(1.0, "start", r#""requestId":"r1",{t}"#), WARM[1]]);
        let spans = invocations.take_finished();
        let [span, children @ ..] = spans.as_slice() else { panic!("no span") };
        assert_eq!(span.kind, 1, "internal");
        assert_eq!(
            (span.trace_id.as_slice(), span.parent_span_id.as_slice()),
            ([7; 16].as_slice(), [9; 8].as_slice())
        );
        assert_ne!(
            wire::ids::to_hex(&span.span_id),
            "24cd7d670fa455f0",
            "it may be the root's parent"
        );
        assert!(
            children.iter().all(
                |child| child.trace_id == span.trace_id && child.parent_span_id == span.span_id
            )
        );
        assert_eq!(children.is_empty(), mapping == SpanMapping::SpanEvents);
        assert!(!invocations.function_root("r1", ROOT, ZERO), "too late");
    }
}

#[test]
fn a_failed_invocation_replaces_its_open_root_span() {
    let check = |is_open, end: Result<&str, ShutdownReason>, expected: bool| {
        let mut invocations = by_default();
        assert!(invocations.function_root("r1", FunctionRoot { is_open, ..ROOT }, ZERO));
        feed(&mut invocations, &[(1.0, "start", r#""requestId":"r1",{t}"#)]);
        match end {
            Ok(status) => {
                feed(&mut invocations, &[(2.0, "runtimeDone", &result(status))]);
            }
            Err(reason) => invocations.close_all(reason, ZERO + 2_000_000_000),
        }
        let spans = invocations.take_finished();
        let [span] = spans.as_slice() else { panic!("{end:?}: {} spans", spans.len()) };
        assert_eq!(span.trace_id, ROOT.trace_id);
        let stands_in = span.kind == 2;
        assert_eq!(stands_in, expected, "{is_open} {end:?}");
        assert_eq!(span.span_id == ROOT.span_id, expected, "{is_open} {end:?}");
        let parent: &[u8] = if expected { &[] } else { &ROOT.span_id };
        assert_eq!(span.parent_span_id, parent, "{is_open} {end:?}");
    };
    check(true, Ok("timeout"), true);
    check(true, Ok("failure"), true);
    check(true, Ok("error Runtime.ExitError"), true);
    check(true, Err(ShutdownReason::Timeout), true);
    check(true, Err(ShutdownReason::Failure), true);
    // The function may write its root after the response.
    check(true, Ok("success"), false);
    check(true, Ok("error Function.Unhappy"), false);
    check(true, Err(ShutdownReason::Spindown), false);
    for end in [Ok("timeout"), Ok("failure"), Err(ShutdownReason::Timeout)] {
        check(false, end, false);
    }
}

#[test]
fn the_xray_header_sets_the_parent_only_when_enabled() {
    let span_of = |xray_lambda: bool, tracing: &str| {
        let mut invocations = Invocations::new(SpanOptions {
            xray_lambda,
            ..options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone)
        });
        feed(
            &mut invocations,
            &[(1.0, "start", &format!(r#""requestId":"r1"{tracing}"#)), WARM[1]],
        );
        let spans = invocations.take_finished();
        spans.first().map(|span| {
            let hex = wire::ids::to_hex;
            (hex(&span.trace_id), hex(&span.span_id), hex(&span.parent_span_id))
        })
    };
    let root = "6352a70e1e2c502e358361800241fd45".to_owned();
    let id = "24cd7d670fa455f0".to_owned();
    let parent = "35465b3a9e2f7c6a".to_owned();
    let traced = format!(",{TRACING}");
    assert_eq!(span_of(false, &traced), Some((root.clone(), id.clone(), String::new())));
    assert_eq!(span_of(true, &traced), None, "X-Ray does not sample it");
    let sampled = traced.replace("Sampled=0", "Sampled=1");
    assert_eq!(span_of(true, &sampled), Some((root, id, parent)));
    let (trace, id, parent) = span_of(false, "").unwrap();
    assert_eq!(trace, wire::ids::to_hex(&wire::ids::trace_id_from_request_id("r1")));
    assert_eq!((id.len(), parent.as_str()), (16, ""));
}

#[test]
fn an_early_segment_is_matched_by_its_trace_id() {
    let mut invocations = by_default();
    let start = |id: &str, trace: char| {
        let root = format!("1-00000001-{}", trace.to_string().repeat(24));
        format!(
            r#""requestId":"{id}","tracing":{{"type":"X-Amzn-Trace-Id","value":"Root={root};Parent=35465b3a9e2f7c6a;Sampled=1"}}"#
        )
    };
    let segment = |trace: u8, span: u8| {
        let mut trace_id = [trace; 16];
        trace_id[..4].copy_from_slice(&[0, 0, 0, 1]);
        XRaySegment { trace_id, span_id: [span; 8] }
    };
    // Nothing is known of the first invocation, and of the second not that it began.
    invocations.xray_segment(None, segment(0xaa, 1));
    feed(&mut invocations, &[(1.0, "start", &start("r1", 'a'))]);
    for span in [2, 3] {
        invocations.xray_segment(Some("r1"), segment(0xbb, span));
    }
    let done = |id: &str| format!(r#""requestId":"{id}","status":"success""#);
    feed(&mut invocations, &[(2.0, "runtimeDone", &done("r1"))]);
    feed(&mut invocations, &[(3.0, "start", &start("r2", 'b'))]);
    // A long subsegment comes after its children.
    invocations.xray_segment(Some("r2"), segment(0xbb, 4));
    feed(&mut invocations, &[(4.0, "runtimeDone", &done("r2"))]);
    let spans = invocations.take_finished();
    let ids: Vec<_> =
        spans.iter().map(|span| (span.trace_id[15], span.span_id.as_slice())).collect();
    assert_eq!(ids, [(0xaa, [1; 8].as_slice()), (0xbb, [4; 8].as_slice())]);
}

#[test]
fn arn_and_legacy_names_become_attributes() {
    let attributes_of = |names: Names, arn: &str| {
        let mut invocations = Invocations::new(SpanOptions {
            names,
            ..options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone)
        });
        invocations.invoked("r1", arn, ZERO);
        feed(&mut invocations, &[(1.0, "start", r#""requestId":"r1","version":"7""#), WARM[1]]);
        render::attributes(&invocations.take_finished()[0].attributes)
    };
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders";
    assert_eq!(
        attributes_of(Names::Current, &format!("{arn}:live")),
        format!(
            "faas.invocation_id=r1 faas.coldstart=false cloud.resource_id={arn}:7 aws.lambda.invoked_arn={arn}:live faas.version=7"
        )
    );
    assert_eq!(
        attributes_of(Names::Legacy, arn),
        format!(
            "faas.invocation_id=r1 faas.coldstart=false cloud.resource_id={arn} aws.lambda.invoked_arn={arn} faas.version=7 aws.lambda.function_name=orders aws.lambda.function_version=7 aws.lambda.request_id=r1 aws.lambda.invocation.duration_ms=500.0 faas.cold_start=false"
        )
    );
}

#[test]
fn only_the_restore_joins_the_first_snapstart_invocation() {
    check(
        options(SpanMapping::ChildSpans, SpanEnd::RuntimeDone),
        &[
            (-900.0, "initStart", r#""initializationType":"snap-start","phase":"snap-start""#),
            (-899.0, "initRuntimeDone", r#""initializationType":"snap-start","status":"success""#),
            (0.1, "restoreStart", r#""runtimeVersion":"java:21.v1","instanceMaxMemory":"512""#),
            (0.2, "initStart", r#""initializationType":"snap-start","phase":"init""#),
            (
                0.2,
                "initReport",
                r#""initializationType":"snap-start","phase":"init","status":"success""#,
            ),
            (
                0.4,
                "restoreRuntimeDone",
                r#""status":"success","spans":[{"name":"hook","start":"2022-10-21T14:05:03:200Z","durationMs":80}]"#,
            ),
            (0.5, "restoreReport", r#""status":"success","metrics":{"durationMs":398.97}"#),
            WARM[0],
            WARM[1],
        ],
        expect![[r#"
            SERVER orders e213/>92b3 1000..1500 ok faas.invocation_id=r1 faas.coldstart=true aws.lambda.runtime_version=java:21.v1
            INTERNAL restore e213/92b3>7dd6 100..500 ok aws.lambda.runtime_version=java:21.v1 aws.lambda.instance.max_memory_mb=512.0 aws.lambda.status=success aws.lambda.duration_ms=398.97 aws.lambda.restore_duration_ms=398.97
            INTERNAL hook e213/7dd6>c88f 200..280 unset
            INTERNAL runtime e213/92b3>f6b9 1000..1500 ok aws.lambda.status=success
        "#]],
    );
}

#[test]
fn an_init_phase_within_an_invocation_makes_one_cold_start() {
    let mut invocations = by_default();
    let init = r#""initializationType":"on-demand","phase":"invoke""#;
    let of = |id: &str| format!(r#""requestId":"{id}","status":"success""#);
    let mut colds = Vec::new();
    for (id, at) in [("r1", 0.0), ("r2", 10.0)] {
        feed(&mut invocations, &[(at, "start", &of(id))]);
        if id == "r1" {
            feed(&mut invocations, &[(at + 0.1, "initStart", init)]);
        }
        feed(&mut invocations, &[(at + 1.0, "runtimeDone", &of(id))]);
        colds.push(shown(&mut invocations).contains("faas.coldstart=true"));
        if id == "r1" {
            let report = format!(r#"{init},"status":"success","metrics":{{"durationMs":100}}"#);
            feed(&mut invocations, &[(at + 1.1, "initReport", &report)]);
        }
    }
    assert_eq!(colds, [true, false]);
}

#[test]
fn a_preinitialized_environment_has_no_cold_start() {
    let cold = |kind: &str| {
        let mut invocations = by_default();
        let init = format!(r#""initializationType":"{kind}","phase":"init""#);
        feed(&mut invocations, &[(-600.0, "initStart", &init), WARM[0], WARM[1]]);
        shown(&mut invocations).contains("faas.coldstart=true")
    };
    assert!(cold("on-demand") && cold("invented"));
    assert!(!cold("provisioned-concurrency") && !cold("lambda-managed-instances"));
}

#[test]
fn a_suppressed_init_joins_the_running_invocation() {
    let mut invocations = by_default();
    feed(
        &mut invocations,
        &[
            WARM[0],
            (1.1, "initStart", r#""phase":"invoke""#),
            (1.2, "initReport", r#""phase":"invoke""#),
            WARM[1],
        ],
    );
    let shown = shown(&mut invocations);
    assert!(
        shown.contains("@1100 platform.initStart") && invocations.pending.is_empty(),
        "{shown}"
    );
}

#[test]
fn cold_invocation_phases_become_span_events() {
    check(
        options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone),
        COLD,
        expect![[r#"
            SERVER orders 6352/>24cd 165..2764 ok faas.invocation_id=r1 faas.coldstart=true faas.version=7 aws.lambda.initialization_type=on-demand aws.lambda.phase=init aws.lambda.runtime_version=nodejs-14.v3 aws.lambda.runtime_version_arn=arn:rv aws.xray.parent_id=35465b3a9e2f7c6a
              @-600 platform.initStart aws.lambda.phase=init aws.lambda.initialization_type=on-demand faas.version=7 aws.lambda.runtime_version=nodejs-14.v3 aws.lambda.runtime_version_arn=arn:rv
              @-500 boot aws.lambda.duration_ms=100.0
              @-100 platform.initRuntimeDone aws.lambda.status=success aws.lambda.phase=init aws.lambda.initialization_type=on-demand
              @-50 platform.initReport aws.lambda.phase=init aws.lambda.initialization_type=on-demand aws.lambda.duration_ms=549.04 aws.lambda.init_duration_ms=549.04
              @165 responseLatency aws.lambda.duration_ms=2598.0
              @2763 responseDuration aws.lambda.duration_ms=0.0
              @2763.5 runtimeOverhead aws.lambda.duration_ms=0.5
              @2764 platform.runtimeDone aws.lambda.status=success aws.lambda.duration_ms=2599.0 aws.lambda.produced_bytes=8.0 aws.lambda.response_latency_ms=2598.0 aws.lambda.response_duration_ms=0.0 aws.lambda.runtime_overhead_ms=0.5
        "#]],
    );
}

#[test]
fn cold_invocation_phases_become_child_spans() {
    check(
        options(SpanMapping::ChildSpans, SpanEnd::RuntimeDone),
        COLD,
        expect![[r#"
            SERVER orders 6352/>24cd 165..2764 ok faas.invocation_id=r1 faas.coldstart=true faas.version=7 aws.lambda.initialization_type=on-demand aws.lambda.phase=init aws.lambda.runtime_version=nodejs-14.v3 aws.lambda.runtime_version_arn=arn:rv aws.xray.parent_id=35465b3a9e2f7c6a
            INTERNAL init 6352/24cd>5536 -600..-50 ok aws.lambda.phase=init aws.lambda.initialization_type=on-demand faas.version=7 aws.lambda.runtime_version=nodejs-14.v3 aws.lambda.runtime_version_arn=arn:rv aws.lambda.status=success aws.lambda.duration_ms=549.04 aws.lambda.init_duration_ms=549.04
            INTERNAL boot 6352/5536>a5c8 -500..-400 unset
            INTERNAL runtime 6352/24cd>1837 165..2764 ok aws.lambda.status=success aws.lambda.duration_ms=2599.0 aws.lambda.produced_bytes=8.0 aws.lambda.response_latency_ms=2598.0 aws.lambda.response_duration_ms=0.0 aws.lambda.runtime_overhead_ms=0.5
            INTERNAL responseLatency 6352/24cd>2e07 165..2763 unset
            INTERNAL responseDuration 6352/24cd>1c3f 2763..2763 unset
            INTERNAL runtimeOverhead 6352/24cd>69d9 2763.5..2764 unset
        "#]],
    );
}

#[test]
fn a_late_report_becomes_a_child_of_the_finished_span() {
    let mut invocations = invocations(SpanMapping::ChildSpans, SpanEnd::RuntimeDone);
    feed(&mut invocations, COLD);
    let first = invocations.take_finished();
    assert_eq!(invocations.table.len(), 1, "its report is outstanding");
    feed(&mut invocations, &[REPORT]);
    let late = invocations.take_finished();
    assert!(late.iter().all(|span| span.parent_span_id == first[0].span_id));
    expect![[r#"
        INTERNAL report 6352/24cd>c197 2764..2766 ok faas.coldstart=true aws.lambda.status=success aws.lambda.duration_ms=2599.4 aws.lambda.billed_duration_ms=2600.0 aws.lambda.memory_size_mb=128.0 aws.lambda.max_memory_used_mb=94.0 aws.lambda.init_duration_ms=549.04 aws.lambda.extension_overhead_ms=1.9
        INTERNAL extensionOverhead 6352/24cd>6d72 2764..2765.9 unset
    "#]].assert_eq(&render::spans(&late, ZERO));
    assert_eq!(invocations.take_finished(), []);
    assert!(invocations.table.is_empty());
    // A report in time creates the same spans.
    let mut in_time = self::invocations(SpanMapping::ChildSpans, SpanEnd::RuntimeDone);
    feed(&mut in_time, COLD);
    feed(&mut in_time, &[REPORT]);
    let all = in_time.take_finished();
    assert_eq!(all[first.len()..], late);
}

#[test]
fn a_late_report_creates_no_second_span() {
    let mut invocations = by_default();
    feed(&mut invocations, COLD);
    assert_eq!(invocations.take_finished().len(), 1);
    feed(&mut invocations, &[REPORT]);
    assert_eq!(invocations.take_finished(), []);
    // A report after the invocation was closed creates none either.
    feed(&mut invocations, &[(5.0, "start", r#""requestId":"r2""#)]);
    invocations.close_all(ShutdownReason::Timeout, ZERO + 6_000_000_000);
    assert_eq!(invocations.take_finished().len(), 1);
    feed(&mut invocations, &[(7.0, "report", r#""requestId":"r2","status":"timeout""#)]);
    assert_eq!(invocations.take_finished(), []);
}

#[test]
fn a_span_that_ends_with_the_report_includes_its_figures() {
    let mut invocations = invocations(SpanMapping::SpanEvents, SpanEnd::Report);
    feed(&mut invocations, COLD);
    assert_eq!(invocations.take_finished(), []);
    assert!(!invocations.table[0].is_written);
    feed(&mut invocations, &[REPORT]);
    expect![[r#"
        SERVER orders 6352/>24cd 165..2766 ok faas.invocation_id=r1 faas.coldstart=true faas.version=7 aws.lambda.initialization_type=on-demand aws.lambda.phase=init aws.lambda.runtime_version=nodejs-14.v3 aws.lambda.runtime_version_arn=arn:rv aws.xray.parent_id=35465b3a9e2f7c6a aws.lambda.billed_duration_ms=2600.0 aws.lambda.memory_size_mb=128.0 aws.lambda.max_memory_used_mb=94.0 aws.lambda.init_duration_ms=549.04
          @-600 platform.initStart aws.lambda.phase=init aws.lambda.initialization_type=on-demand faas.version=7 aws.lambda.runtime_version=nodejs-14.v3 aws.lambda.runtime_version_arn=arn:rv
          @-500 boot aws.lambda.duration_ms=100.0
          @-100 platform.initRuntimeDone aws.lambda.status=success aws.lambda.phase=init aws.lambda.initialization_type=on-demand
          @-50 platform.initReport aws.lambda.phase=init aws.lambda.initialization_type=on-demand aws.lambda.duration_ms=549.04 aws.lambda.init_duration_ms=549.04
          @165 responseLatency aws.lambda.duration_ms=2598.0
          @2763 responseDuration aws.lambda.duration_ms=0.0
          @2763.5 runtimeOverhead aws.lambda.duration_ms=0.5
          @2764 platform.runtimeDone aws.lambda.status=success aws.lambda.duration_ms=2599.0 aws.lambda.produced_bytes=8.0 aws.lambda.response_latency_ms=2598.0 aws.lambda.response_duration_ms=0.0 aws.lambda.runtime_overhead_ms=0.5
          @2764 extensionOverhead aws.lambda.duration_ms=1.9
          @2766 platform.report faas.coldstart=true aws.lambda.status=success aws.lambda.duration_ms=2599.4 aws.lambda.billed_duration_ms=2600.0 aws.lambda.memory_size_mb=128.0 aws.lambda.max_memory_used_mb=94.0 aws.lambda.init_duration_ms=549.04 aws.lambda.extension_overhead_ms=1.9
    "#]].assert_eq(&shown(&mut invocations));
}

#[test]
fn a_span_never_ends_before_its_start() {
    let odd: &[(f64, &str, &str)] = &[
        (-0.6, "initReport", r#""metrics":{"durationMs":100000000000000}"#),
        (2.0, "start", r#""requestId":"r1""#),
        (
            1.0,
            "runtimeDone",
            r#""requestId":"r1","status":"success","spans":[{"name":"a","start":99999999999},{"name":"b","durationMs":999999999999}]"#,
        ),
        (0.5, "report", r#""requestId":"r1""#),
    ];
    for mapping in [SpanMapping::SpanEvents, SpanMapping::ChildSpans] {
        for end in [SpanEnd::RuntimeDone, SpanEnd::Report] {
            let mut invocations = invocations(mapping, end);
            feed(&mut invocations, odd);
            // `shown` asserts that no span ends before its start.
            assert!(shown(&mut invocations).starts_with("SERVER orders"));
        }
    }
}

#[test]
fn a_missing_start_is_derived_from_the_duration() {
    check(
        options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone),
        &[(
            3.0,
            "runtimeDone",
            r#""requestId":"r1","status":"success","metrics":{"durationMs":500}"#,
        )],
        expect![[r#"
            SERVER orders e213/>7e6b 2500..3000 ok faas.invocation_id=r1 faas.coldstart=false
              @3000 platform.runtimeDone aws.lambda.status=success aws.lambda.duration_ms=500.0
        "#]],
    );
    check(
        options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone),
        &[(3.0, "report", r#""requestId":"r1","status":"success","metrics":{"durationMs":700}"#)],
        expect![[r#"
            SERVER orders e213/>7e6b 2300..3000 ok faas.invocation_id=r1 faas.coldstart=false
              @3000 platform.report faas.coldstart=false aws.lambda.status=success aws.lambda.duration_ms=700.0
        "#]],
    );
}

#[test]
fn managed_instance_spans_interleave_and_end_with_the_report() {
    check(
        options(SpanMapping::ChildSpans, SpanEnd::RuntimeDone),
        &[
            (1.0, "start", r#""requestId":"r1""#),
            (1.1, "start", r#""requestId":"r2""#),
            (
                1.5,
                "report",
                r#""requestId":"r2","status":"success","metrics":{"durationMs":400},"spans":[{"name":"responseLatency","start":"2022-10-21T14:05:04.100Z","durationMs":390}]"#,
            ),
            (
                1.6,
                "report",
                r#""requestId":"r1","status":"error","errorType":"Function.Unhandled","metrics":{"durationMs":600}"#,
            ),
        ],
        expect![[r#"
            SERVER orders e213/>92b3 1000..1600 error(Function.Unhandled) faas.invocation_id=r1 faas.coldstart=false error.type=Function.Unhandled
            INTERNAL report e213/92b3>cde3 1600..1600 error(Function.Unhandled) faas.coldstart=false aws.lambda.status=error error.type=Function.Unhandled aws.lambda.duration_ms=600.0
            SERVER orders b4e9/>d114 1100..1500 ok faas.invocation_id=r2 faas.coldstart=false
            INTERNAL report b4e9/d114>5e45 1500..1500 ok faas.coldstart=false aws.lambda.status=success aws.lambda.duration_ms=400.0 aws.lambda.response_latency_ms=390.0
            INTERNAL responseLatency b4e9/d114>524c 1100..1490 unset
        "#]],
    );
}

#[track_caller]
fn check_status(events: &[(f64, &str, &str)], expected: &str) {
    let mut invocations = by_default();
    feed(&mut invocations, events);
    invocations.close_all(ShutdownReason::Spindown, ZERO + 9_000_000_000);
    let spans = invocations.take_finished();
    assert_eq!(spans.len(), 1);
    let shown = render::spans(&spans, ZERO);
    let line = shown.lines().next().unwrap();
    let error_type = line.split(' ').find_map(|word| word.strip_prefix("error.type="));
    let status = line.split(' ').nth(4).unwrap();
    assert_eq!(format!("{status} {}", error_type.unwrap_or("-")), expected, "{events:?}");
}

#[test]
fn the_span_status_combines_all_reported_results() {
    let start = (1.0, "start", r#""requestId":"r1""#);
    check_status(&[start], "unset -");
    check_status(&[start, (1.5, "runtimeDone", start.2)], "unset -");
    for (done, expected) in [
        ("success", "ok -"),
        ("timeout", "error(timeout) timeout"),
        ("invented", "error(invented) invented"),
        ("failure Runtime.ExitError", "error(Runtime.ExitError) Runtime.ExitError"),
    ] {
        check_status(&[start, (1.5, "runtimeDone", &result(done))], expected);
    }
    for (done, report, expected) in [
        ("success", "error Extension.Crash", "error(Extension.Crash) Extension.Crash"),
        ("failure", "error Runtime.OutOfMemory", "error(Runtime.OutOfMemory) Runtime.OutOfMemory"),
    ] {
        let (done, report) = (result(done), result(report));
        check_status(&[start, (1.5, "runtimeDone", &done), (1.6, "report", &report)], expected);
    }
    // Lambda repeated the failed init phase.
    let init = (0.5, "initReport", r#""phase":"init","status":"timeout""#);
    check_status(&[init, start], "error(timeout) timeout");
    check_status(&[init, start, (1.5, "runtimeDone", &result("success"))], "ok -");
}

#[test]
fn a_fault_sets_the_span_status_to_error() {
    let check = |text: &str, expected: &str| {
        let mut invocations = by_default();
        let id = "d783b35e-a91d-4251-af17-035953428a2c";
        feed(&mut invocations, &[(1.0, "start", &format!(r#""requestId":"{id}""#))]);
        let fault = format!(r#"{{"type":"platform.fault","record":"RequestId: {id} {text}"}}"#);
        let event = telemetry::parse(serde_json::from_str(&fault).unwrap()).unwrap();
        let TelemetryRecord::Platform(event) = event.record else { panic!("{fault}") };
        invocations.observe(&event, ZERO + 1_200_000_000);
        feed(&mut invocations, &[(1.3, "report", &format!(r#""requestId":"{id}""#))]);
        let spans = invocations.take_finished();
        assert_eq!(spans[0].status.as_ref().unwrap().code, 2, "{text}");
        let attributes = render::attributes(&spans[0].attributes);
        assert!(attributes.contains(&format!("error.type={expected}")), "{text}: {attributes}");
    };
    check("Process exited before completing request", "Runtime.ExitError");
    check(
        r"Error: Runtime exited with error: signal: killed\nRuntime.ExitError",
        "Runtime.OutOfMemory",
    );
}

#[test]
fn shutdown_closes_unfinished_invocation_spans() {
    let check = |reason: &str, expected: &str| {
        let mut invocations = invocations(SpanMapping::SpanEvents, SpanEnd::Report);
        feed(&mut invocations, &[(1.0, "start", r#""requestId":"r1""#)]);
        invocations.close_all(ShutdownReason::parse(reason), ZERO + 4_000_000_000);
        let shown = shown(&mut invocations);
        assert!(shown.contains(&format!(" {expected} ")), "{shown}");
    };
    check("timeout", "1000..4000 error(timeout)");
    check("FAILURE", "1000..4000 error(failure)");
    check("spindown", "1000..4000 unset");
    // Lambda ended the processes because the init phase failed, which it had repeated in the invocation.
    for (repeated, expected) in [
        (
            r#""status":"error","errorType":"Runtime.ImportModuleError""#,
            "error(Runtime.ImportModuleError)",
        ),
        (r#""status":"timeout""#, "error(timeout)"),
        (r#""status":"success""#, "error(failure)"),
    ] {
        let mut invocations = by_default();
        let failed = r#""phase":"init","status":"error","errorType":"Runtime.Unknown""#;
        let repeated = format!(r#""phase":"invoke",{repeated}"#);
        feed(
            &mut invocations,
            &[(-0.5, "initReport", failed), WARM[0], (1.5, "initReport", &repeated)],
        );
        invocations.close_all(ShutdownReason::Failure, ZERO + 4_000_000_000);
        let shown = shown(&mut invocations);
        assert!(shown.contains(&format!(" {expected} ")), "{shown}");
    }
    // An invocation with a status keeps it, and its end.
    let mut invocations = invocations(SpanMapping::SpanEvents, SpanEnd::Report);
    feed(&mut invocations, WARM);
    invocations.close_all(ShutdownReason::Failure, ZERO + 4_000_000_000);
    assert!(shown(&mut invocations).contains(" 1000..1500 ok "));
}

#[test]
fn a_retry_under_its_request_id_gets_its_own_span() {
    let mut invocations = by_default();
    feed(
        &mut invocations,
        &[
            WARM[0],
            WARM[0],
            (1.4, "runtimeDone", r#""requestId":"r1","status":"error""#),
            (1.4, "runtimeDone", r#""requestId":"r1","status":"error""#),
            (61.0, "start", r#""requestId":"r1""#),
            (61.5, "runtimeDone", r#""requestId":"r1","status":"success""#),
        ],
    );
    let spans = invocations.take_finished();
    let shown = render::spans(&spans, ZERO);
    assert!(
        shown.contains("1000..1400 error(error)") && shown.contains("61000..61500 ok"),
        "{shown}"
    );
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0].events.len(), 1, "repeated events are one");
    assert_eq!(spans[0].trace_id, spans[1].trace_id);
    assert_ne!(spans[0].span_id, spans[1].span_id);
}

#[test]
fn a_full_table_evicts_the_oldest_invocation() {
    let mut invocations = by_default();
    for n in 0..1000 {
        feed(&mut invocations, &[(1.0, "start", &format!(r#""requestId":"r{n}""#))]);
    }
    assert_eq!(invocations.table.len(), Invocations::MAX_KNOWN);
    assert_eq!(invocations.evicted(), 1000 - Invocations::MAX_KNOWN);
    assert_eq!(invocations.take_finished().len(), 1000 - Invocations::MAX_KNOWN);
    let known = |id: &str| invocations.table.iter().any(|known| known.request_id == id);
    assert!(!known("r0") && known("r999"));

    let mut invocations = by_default();
    for n in 0..1000 {
        let id = format!(r#""requestId":"r{n}""#);
        feed(
            &mut invocations,
            &[(1.0, "start", &id), (1.1, "runtimeDone", &id), (0.0, "initStart", "")],
        );
        assert_eq!(invocations.take_finished().len(), 1);
    }
    assert_eq!((invocations.table.len(), invocations.evicted()), (Invocations::MAX_KNOWN, 0));
    assert!(invocations.pending.len() <= Invocation::MAX_PHASES / 2);
}

#[test]
fn a_managed_instance_runs_many_invocations_at_a_time() {
    let mut invocations = Invocations::new(SpanOptions {
        concurrent: true,
        ..options(SpanMapping::SpanEvents, SpanEnd::Report)
    });
    for (time, name) in [(1.0, "start"), (2.0, "report")] {
        for n in 0..1600 {
            feed(&mut invocations, &[(time, name, &format!(r#""requestId":"r{n}""#))]);
        }
    }
    assert_eq!((invocations.take_finished().len(), invocations.evicted()), (1600, 0));
}

#[test]
fn in_a_log_stream_only_the_report_creates_a_span() {
    let mut invocations =
        Invocations::of_stream(options(SpanMapping::ChildSpans, SpanEnd::RuntimeDone));
    feed(&mut invocations, WARM);
    invocations.close_all(ShutdownReason::Timeout, ZERO);
    assert_eq!(invocations.take_finished(), []);
    for n in 0..1000 {
        feed(&mut invocations, &[(1.0, "start", &format!(r#""requestId":"x{n}""#))]);
    }
    assert_eq!(invocations.take_finished(), [], "the pushed out will have their report");
    feed(&mut invocations, &[(2.0, "report", r#""requestId":"x999","status":"success""#)]);
    assert_eq!(invocations.take_finished().len(), 2, "the span and its report");
}

proptest! {
    /// For any order of events: at most one invocation span for each start, or for each id without a start; no end before its
    /// start; and no entry left that has its report.
    #[test]
    fn events_in_any_order_create_valid_spans(
        events in proptest::collection::vec((0..10u8, 0..3u8, -5..100i64), 0..60),
        child_spans: bool,
        at_report: bool,
        of_stream: bool,
        step in 1..20usize,
    ) {
        let options = options(
            if child_spans { SpanMapping::ChildSpans } else { SpanMapping::SpanEvents },
            if at_report { SpanEnd::Report } else { SpanEnd::RuntimeDone },
        );
        let mut invocations =
            if of_stream { Invocations::of_stream(options) } else { Invocations::new(options) };
        let mut spans = Vec::new();
        for (at, (kind, id, seconds)) in events.iter().enumerate() {
            let kinds = ["start", "runtimeDone", "report", "end", "fault", "initStart", "initReport", "restoreStart", "restoreReport", "x"];
            let record = format!(r#""requestId":"r{id}","status":"success","metrics":{{"durationMs":{}}},"spans":[{{"name":"a","start":5,"durationMs":9}}]"#, seconds * 10);
            feed(&mut invocations, &[(*seconds as f64, kinds[usize::from(*kind)], &record)]);
            if at % step == 0 {
                spans.extend(invocations.take_finished());
            }
        }
        spans.extend(invocations.take_finished());
        prop_assert!(invocations.table.iter().all(|invocation| invocation.reported.is_none()));
        invocations.close_all(ShutdownReason::Spindown, ZERO);
        spans.extend(invocations.take_finished());
        // `render::spans` asserts the order of times and the lengths of ids.
        render::spans(&spans, ZERO);
        let servers = spans.iter().filter(|span| span.kind == 2).count();
        let may_make_one = events.iter().filter(|(kind, ..)| *kind < 5).count();
        prop_assert!(servers <= may_make_one);
    }
}
