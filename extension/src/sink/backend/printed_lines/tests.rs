use super::*;
use crate::invocations::identity::FunctionIdentity;
use crate::test_spans::{Span, traces};
use extensions_api::Registration;
use std::collections::BTreeMap;
use wire::{Envelope, LineEncoder, LineLimits};

/// The time when the lines of a test were printed.
const SINCE_MS: u64 = 1000;
const INTERVAL: Duration = Duration::from_secs(5);

fn printed_lines(is_managed: bool, is_json: bool) -> PrintedLines {
    let variable = ("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances");
    let source: BTreeMap<String, String> = is_managed
        .then_some(variable)
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    let config = Config::from_source(&source);
    let identity = FunctionIdentity::of(&config, &Registration::default()).into_function();
    PrintedLines::new(&config, identity, is_json, &Arc::default())
}

fn take(lines: &mut PrintedLines, from: LineSource, text: &str) -> DecodedContent {
    let line = LogLine { from, time_unix_nano: None, message: text.into(), is_json: false };
    lines.take(&line, SINCE_MS)
}

#[test]
fn records_wait_for_the_spans_of_their_invocation() {
    let running = |deadline_ms, is_done| {
        let (is_told_of_end, is_rare, last_failed) = (true, false, false);
        let (invoked_ms, usual_handler) = (0, None);
        Some(Running {
            invoked_ms,
            deadline_ms,
            is_done,
            is_told_of_end,
            is_rare,
            last_failed,
            usual_handler,
        })
    };
    let is_due = |lines: &PrintedLines, running: Option<Running>, now_ms| {
        lines.is_due(running.as_ref(), INTERVAL, 150, now_ms)
    };
    let mut lines = printed_lines(false, false);
    assert!(!is_due(&lines, None, 10_000), "there are none");
    take(&mut lines, LineSource::Function, "paid");
    for (running, now_ms, expected) in [
        (running(60_000, false), SINCE_MS, false),
        (running(60_000, false), SINCE_MS + 4999, false),
        (running(60_000, false), SINCE_MS + 5000, true),
        (running(60_000, true), SINCE_MS, true),
        // The backend spills the buffer 150 ms before the deadline.
        (running(5000, false), 4849, false),
        (running(5000, false), 4850, true),
        // No span will come.
        (None, SINCE_MS, true),
    ] {
        assert_eq!(is_due(&lines, running, now_ms), expected, "{running:?} {now_ms}");
    }
    // A managed instance has invocations that Lambda does not report.
    let mut lines = printed_lines(true, false);
    take(&mut lines, LineSource::Function, "paid");
    assert!(!is_due(&lines, None, SINCE_MS));
    // A large number of records does not wait.
    let text = "x".repeat(10 << 10);
    let printed = (1..=100).find(|_| {
        take(&mut lines, LineSource::Function, &text);
        is_due(&lines, None, SINCE_MS)
    });
    assert!(printed.is_some_and(|lines| (20..=26).contains(&lines)), "{printed:?}");
}

#[test]
fn only_the_functions_runtime_reports_exhausted_memory() {
    const EXHAUSTED: &str = "[FATAL] failed to allocate memory";
    for (from, text, expected) in [
        (LineSource::Function, EXHAUSTED, true),
        (LineSource::Function, "paid", false),
        (LineSource::Extension, EXHAUSTED, false),
        (LineSource::Extension, "paid", false),
    ] {
        let taken = take(&mut printed_lines(false, false), from, text);
        assert_eq!(taken.out_of_memory.is_some(), expected, "{from:?} {text}");
    }
}

#[test]
fn an_otlp_line_leaves_nothing_waiting() {
    let mut line = Vec::new();
    let mut encoder = LineEncoder::new(1, LineLimits::default());
    let written = encoder.encode(&Envelope::default(), traces(&[Span::default()]), &mut line);
    assert_eq!(written.items, 1);
    let line = String::from_utf8(line).unwrap();
    for is_json in [false, true] {
        for (text, requests) in [(line.trim_end(), 1), (r#"{"resourceSpans":[]}"#, 0)] {
            let mut lines = printed_lines(false, is_json);
            let taken = take(&mut lines, LineSource::Function, text);
            assert_eq!(taken.requests.len(), requests, "{text}");
            assert_eq!(lines.since_ms(), None, "{text}");
        }
    }
}
