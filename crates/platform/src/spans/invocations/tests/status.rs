//! The result of an invocation, from all of Lambda's statements.

use super::*;

#[track_caller]
fn check_status(events: &[(f64, &str, &str)], expected: &str) {
    let mut invocations = Invocations::new(options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone));
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
    let done = |record: &'static str| (1.5, "runtimeDone", record);
    let report = |record: &'static str| (1.6, "report", record);
    check_status(&[start], "unset -");
    check_status(&[start, done(r#""requestId":"r1""#)], "unset -");
    check_status(&[start, done(r#""requestId":"r1","status":"success""#)], "ok -");
    check_status(
        &[start, done(r#""requestId":"r1","status":"timeout""#)],
        "error(timeout) timeout",
    );
    check_status(
        &[start, done(r#""requestId":"r1","status":"invented""#)],
        "error(invented) invented",
    );
    check_status(
        &[start, done(r#""requestId":"r1","status":"failure","errorType":"Runtime.ExitError""#)],
        "error(Runtime.ExitError) Runtime.ExitError",
    );
    check_status(
        &[
            start,
            done(r#""requestId":"r1","status":"success""#),
            report(r#""requestId":"r1","status":"error","errorType":"Extension.Crash""#),
        ],
        "error(Extension.Crash) Extension.Crash",
    );
    check_status(
        &[
            start,
            done(r#""requestId":"r1","status":"failure""#),
            report(r#""requestId":"r1","status":"error","errorType":"Runtime.OutOfMemory""#),
        ],
        "error(Runtime.OutOfMemory) Runtime.OutOfMemory",
    );
    // Lambda repeated the failed init phase.
    let init = (0.5, "initReport", r#""phase":"init","status":"timeout""#);
    check_status(&[init, start], "error(timeout) timeout");
    check_status(&[init, start, done(r#""requestId":"r1","status":"success""#)], "ok -");
}

#[test]
fn a_fault_sets_the_span_status_to_error() {
    let check = |text: &str, expected: &str| {
        let options = options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone);
        let mut invocations = Invocations::new(options);
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
        let mut invocations = Invocations::new(options(SpanMapping::SpanEvents, SpanEnd::Report));
        feed(&mut invocations, &[(1.0, "start", r#""requestId":"r1""#)]);
        invocations.close_all(ShutdownReason::parse(reason), ZERO + 4_000_000_000);
        assert_eq!(
            shown(&mut invocations)
                .lines()
                .next()
                .unwrap()
                .split(' ')
                .skip(3)
                .take(2)
                .collect::<Vec<_>>()
                .join(" "),
            expected
        );
    };
    check("timeout", "1000..4000 error(timeout)");
    check("FAILURE", "1000..4000 error(failure)");
    check("spindown", "1000..4000 unset");
    // An invocation with a status keeps it, and its end.
    let mut invocations = Invocations::new(options(SpanMapping::SpanEvents, SpanEnd::Report));
    feed(&mut invocations, WARM);
    invocations.close_all(ShutdownReason::Failure, ZERO + 4_000_000_000);
    assert!(shown(&mut invocations).contains(" 1000..1500 ok "));
}
