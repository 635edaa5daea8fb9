//! The phases of an invocation as events or child spans, and its start and end.

#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use expect_test::expect;

use super::*;

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
    let mut invocations = Invocations::new(options(SpanMapping::ChildSpans, SpanEnd::RuntimeDone));
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
    let mut in_time = Invocations::new(options(SpanMapping::ChildSpans, SpanEnd::RuntimeDone));
    feed(&mut in_time, COLD);
    feed(&mut in_time, &[REPORT]);
    let all = in_time.take_finished();
    assert_eq!(all[first.len()..], late);
}

#[test]
fn a_late_report_creates_no_second_span() {
    let mut invocations = Invocations::new(options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone));
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
    let mut invocations = Invocations::new(options(SpanMapping::SpanEvents, SpanEnd::Report));
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
            let mut invocations = Invocations::new(options(mapping, end));
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
