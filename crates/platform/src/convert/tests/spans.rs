//! The spans of a log stream: one for each invocation, however the stream is cut.

#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use expect_test::expect;

use super::*;

fn spans_of(chunks: &[&[(i64, &str)]], mapping: SpanMapping, end: SpanEnd) -> String {
    const ZERO_MS: i64 = 1_790_000_000_000;
    let mut state = ConverterState::default();
    let mut text = String::new();
    for chunk in chunks {
        let mut converter = Converter::new(identity(), PlatformOptions::default(), OBSERVED)
            .with_state(state)
            .with_spans(mapping, end, false);
        for (ms, message) in *chunk {
            converter.log_event(&LogEventRef { id: "", time_ms: ZERO_MS + ms, message });
        }
        let chunk = converter.finish();
        let spans: Vec<_> = chunk
            .spans
            .into_iter()
            .flat_map(|spans| spans.scope_spans)
            .flat_map(|spans| spans.spans)
            .collect();
        text.push_str(&render::spans(&spans, 1_790_000_000_000_000_000));
        text.push_str("--\n");
        state = chunk.state;
    }
    text
}

#[test]
fn text_invocations_become_spans_only_when_enabled() {
    check(
        spans_of(&[&[START, END, REPORT]], SpanMapping::SpanEvents, SpanEnd::RuntimeDone),
        expect![[r#"
            SERVER orders 5759/>5399 100..200 unset faas.invocation_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 faas.coldstart=true faas.version=7 aws.lambda.billed_duration_ms=356.0 aws.lambda.memory_size_mb=128.0 aws.lambda.max_memory_used_mb=64.0 aws.lambda.init_duration_ms=253.61
              @200 platform.end
              @201 platform.report faas.coldstart=true aws.lambda.duration_ms=102.25 aws.lambda.billed_duration_ms=356.0 aws.lambda.memory_size_mb=128.0 aws.lambda.max_memory_used_mb=64.0 aws.lambda.init_duration_ms=253.61
            --
        "#]],
    );
    check(
        spans_of(&[&[START, END, REPORT]], SpanMapping::ChildSpans, SpanEnd::Report),
        expect![[r#"
            SERVER orders 5759/>5399 100..201 unset faas.invocation_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 faas.coldstart=true faas.version=7 aws.lambda.billed_duration_ms=356.0 aws.lambda.memory_size_mb=128.0 aws.lambda.max_memory_used_mb=64.0 aws.lambda.init_duration_ms=253.61
            INTERNAL report 5759/5399>b7cd 200..201 unset faas.coldstart=true aws.lambda.duration_ms=102.25 aws.lambda.billed_duration_ms=356.0 aws.lambda.memory_size_mb=128.0 aws.lambda.max_memory_used_mb=64.0 aws.lambda.init_duration_ms=253.61
            --
        "#]],
    );
    let none = lines(&[START.1, END.1, REPORT.1], PlatformOptions::default());
    assert_eq!(none.spans, None);
}

#[test]
fn each_invocation_yields_one_span_for_any_cut() {
    let timeout = (
        202,
        "2026-09-21T14:13:21.000Z 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 Task timed out after 3.00 seconds\n\n",
    );
    let whole: &[(i64, &str)] = &[START, END, REPORT, timeout];
    let count = |text: &str| text.lines().filter(|line| line.starts_with("SERVER orders")).count();
    for cut in 0..=whole.len() {
        let (first, second) = whole.split_at(cut);
        for end in [SpanEnd::RuntimeDone, SpanEnd::Report] {
            let chunks = spans_of(&[first, second], SpanMapping::SpanEvents, end);
            assert_eq!(count(&chunks), 1, "{chunks}");
            // In separate deliveries only the lines themselves are known.
            let deliveries =
                [first, second].map(|lines| spans_of(&[lines], SpanMapping::SpanEvents, end));
            assert_eq!(count(&deliveries.concat()), 1, "{deliveries:?}");
        }
    }
    let all = spans_of(&[whole], SpanMapping::SpanEvents, SpanEnd::Report);
    assert!(all.contains("100..201 error(Task timed out after 3.00 seconds)"), "{all}");
}

#[test]
fn json_invocation_spans_use_log_event_times() {
    let moved: Vec<(i64, &str)> = (0..).map(|n| 5_000_000 + n * 100).zip(JSON_LINES).collect();
    check(
        spans_of(&[&moved], SpanMapping::ChildSpans, SpanEnd::RuntimeDone),
        expect![[r#"
            SERVER orders f180/>865e 5000100..5000400 error(Runtime.ExitError) faas.invocation_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 faas.coldstart=true faas.version=8 aws.lambda.initialization_type=on-demand aws.lambda.phase=init aws.lambda.runtime_version=python:3.13.v64 error.type=Runtime.ExitError aws.lambda.billed_duration_ms=201.0 aws.lambda.memory_size_mb=512.0 aws.lambda.max_memory_used_mb=91.0 aws.lambda.init_duration_ms=100.0
            INTERNAL init f180/865e>dfef 5000000..5000100 unset aws.lambda.phase=init aws.lambda.initialization_type=on-demand aws.lambda.runtime_version=python:3.13.v64
            INTERNAL runtime f180/865e>1a86 5000100..5000400 ok aws.lambda.status=success aws.lambda.duration_ms=100.0 aws.lambda.produced_bytes=50.0 aws.lambda.response_latency_ms=99.5
            INTERNAL responseLatency f180/865e>1726 5000300..5000399.5 unset
            INTERNAL report f180/865e>3f15 5000400..5000500 error(Runtime.ExitError) faas.coldstart=true aws.lambda.status=error error.type=Runtime.ExitError aws.lambda.duration_ms=100.5 aws.lambda.billed_duration_ms=201.0 aws.lambda.memory_size_mb=512.0 aws.lambda.max_memory_used_mb=91.0 aws.lambda.init_duration_ms=100.0
            --
        "#]],
    );
}
