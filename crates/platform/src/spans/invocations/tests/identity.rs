//! The parent of an invocation's span, and the attributes that state it.

use super::*;
use crate::options::Names;
use crate::spans::invocation::{FunctionRoot, XRaySegment};

const ROOT: FunctionRoot = FunctionRoot { trace_id: [7; 16], span_id: [9; 8], is_open: false };

#[test]
fn a_function_root_makes_the_invocation_an_internal_child() {
    for mapping in [SpanMapping::SpanEvents, SpanMapping::ChildSpans] {
        let mut invocations = Invocations::new(options(mapping, SpanEnd::RuntimeDone));
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
        let mut invocations =
            Invocations::new(options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone));
        assert!(invocations.function_root("r1", FunctionRoot { is_open, ..ROOT }, ZERO));
        feed(&mut invocations, &[(1.0, "start", r#""requestId":"r1",{t}"#)]);
        match end {
            Ok(status) => {
                let (status, error_type) = status.split_once(' ').unwrap_or((status, ""));
                let record =
                    format!(r#""requestId":"r1","status":"{status}","errorType":"{error_type}""#);
                feed(&mut invocations, &[(2.0, "runtimeDone", &record)]);
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
    let mut invocations = Invocations::new(options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone));
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
fn arn_trigger_and_legacy_names_become_attributes() {
    let attributes_of = |names: Names, arn: &str| {
        let mut invocations = Invocations::new(SpanOptions {
            names,
            ..options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone)
        });
        invocations.invoked("r1", arn, ZERO);
        invocations.triggered("r1", "http", ZERO);
        feed(&mut invocations, &[(1.0, "start", r#""requestId":"r1","version":"7""#), WARM[1]]);
        render::attributes(&invocations.take_finished()[0].attributes)
    };
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders";
    assert_eq!(
        attributes_of(Names::Current, &format!("{arn}:live")),
        format!(
            "faas.invocation_id=r1 faas.coldstart=false faas.trigger=http cloud.resource_id={arn}:7 aws.lambda.invoked_arn={arn}:live faas.version=7"
        )
    );
    assert_eq!(
        attributes_of(Names::Legacy, arn),
        format!(
            "faas.invocation_id=r1 faas.coldstart=false faas.trigger=http cloud.resource_id={arn} aws.lambda.invoked_arn={arn} faas.version=7 aws.lambda.function_name=orders aws.lambda.function_version=7 aws.lambda.request_id=r1 aws.lambda.invocation.duration_ms=500.0 faas.cold_start=false"
        )
    );
}
