//! Init and restore phases: their invocation, and cold starts.

#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use expect_test::expect;

use super::*;

#[test]
fn only_the_restore_joins_the_first_snapstart_invocation() {
    check(
        options(SpanMapping::ChildSpans, SpanEnd::RuntimeDone),
        &[
            (-900.0, "initStart", r#""initializationType":"snap-start","phase":"snap-start""#),
            (-899.0, "initRuntimeDone", r#""initializationType":"snap-start","status":"success""#),
            (0.1, "restoreStart", r#""runtimeVersion":"java:21.v1","instanceMaxMemory":"512""#),
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
fn a_preinitialized_environment_has_no_cold_start() {
    let cold = |kind: &str| {
        let mut invocations =
            Invocations::new(options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone));
        let init = format!(r#""initializationType":"{kind}","phase":"init""#);
        feed(&mut invocations, &[(-600.0, "initStart", &init), WARM[0], WARM[1]]);
        shown(&mut invocations).contains("faas.coldstart=true")
    };
    assert!(cold("on-demand") && cold("snap-start") && cold("invented"));
    assert!(!cold("provisioned-concurrency") && !cold("lambda-managed-instances"));
}

#[test]
fn a_suppressed_init_joins_the_running_invocation() {
    let mut invocations = Invocations::new(options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone));
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
