//! The bounded table of open invocations, for any order of events, retries and whole log streams.

use proptest::prelude::*;

use super::*;

#[test]
fn a_retry_under_its_request_id_gets_its_own_span() {
    let mut invocations = Invocations::new(options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone));
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
    let mut invocations = Invocations::new(options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone));
    for n in 0..1000 {
        feed(&mut invocations, &[(1.0, "start", &format!(r#""requestId":"r{n}""#))]);
    }
    assert_eq!(invocations.table.len(), Invocations::MAX_KNOWN);
    assert_eq!(invocations.evicted(), 1000 - Invocations::MAX_KNOWN);
    assert_eq!(invocations.take_finished().len(), 1000 - Invocations::MAX_KNOWN);
    let known = |id: &str| invocations.table.iter().any(|known| known.request_id == id);
    assert!(!known("r0") && known("r999"));

    let mut invocations = Invocations::new(options(SpanMapping::SpanEvents, SpanEnd::RuntimeDone));
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
