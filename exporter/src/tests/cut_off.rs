//! Before an invocation times out, and when its environment ends, its open spans are written as partial ones.

use super::driver::{Function, NOW_MS, Records, Written, attribute, event, status, succeed};
use crate::export::losses::Loss;
use crate::lambda_otel_lite::create_traced_handler;
use lambda_runtime::{Error, LambdaEvent};
use opentelemetry::trace::{TraceContextExt as _, Tracer as _};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use serde_json::{Value, json};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

#[test]
fn open_spans_are_written_as_partial_spans_before_the_deadline() {
    let records = Arc::new(Records::new("partial"));
    let function = Function::with_variables(&[records.variable()]);
    let watch = Arc::new(function.watch());
    let lines = Arc::new(Mutex::new(Vec::new()));
    let early = Arc::clone(&lines);
    let late = function.run(move || {
        drop(tracing::info_span!("finished").entered());
        tracing::info!("reading");
        let _open = tracing::info_span!("open", bank = "7", attempt = 7_u64).entered();
        assert_eq!(watch(2899), [""; 0], "too early");
        assert!(records.root().is_open);
        *early.lock().unwrap() = watch(2900);
        assert!(!records.root().is_open, "its partial span is written");
    });
    let lines = std::mem::take(&mut *lines.lock().unwrap());
    assert_eq!(late.span_names(), ["open", "orders"], "the handler has ended all the same");
    assert_eq!(lines.len(), 3, "the first line has the open spans alone");
    let early = Written::read(lines);
    assert_eq!(early.span_names(), ["orders", "open", "finished"]);
    assert_eq!(early.logs.len(), 1);
    let timed_out = "error: the invocation was about to time out";
    for name in ["orders", "open"] {
        let partial = early.span_named(name);
        let whole = late.span_named(name);
        assert_eq!(
            (&partial.span_id, &partial.trace_id, &partial.parent_span_id, partial.kind),
            (&whole.span_id, &whole.trace_id, &whole.parent_span_id, whole.kind)
        );
        assert_eq!(partial.start_time_unix_nano, whole.start_time_unix_nano);
        assert!(partial.end_time_unix_nano >= partial.start_time_unix_nano);
        assert_eq!(status(partial), timed_out);
        assert_eq!(attribute(partial, "lambda_otlp.partial").as_deref(), Some("true"));
        assert_eq!(attribute(whole, "lambda_otlp.partial"), None);
    }
    let of_open = |key| attribute(early.span_named("open"), key);
    assert_eq!(of_open("bank").as_deref(), Some(r#""7""#));
    assert_eq!(of_open("attempt").as_deref(), Some("7"));
    let error_type = attribute(early.span_named("orders"), "error.type");
    assert_eq!(error_type.as_deref(), Some("\"timeout\""));
}

/// Starts two invocations, with 3 s and 60 s left, whose callers' spans are in these traces. Each handler opens a span with `open`
/// and keeps it.
fn two_invocations(
    function: &Function,
    of_callers: [u128; 2],
    open: fn(&SdkTracer, String) -> Span,
) -> impl Sized {
    let handler = create_traced_handler("orders", function.completion.clone(), {
        let tracer = function.completion.tracer().clone();
        move |event: LambdaEvent<Value>| {
            let name = event.payload["name"].as_str().unwrap().to_owned();
            let span = open(&tracer, name);
            async move {
                let _span = span;
                std::future::pending::<Result<Value, Error>>().await
            }
        }
    });
    let started = |name: &str, trace: u128, seconds: u64| {
        let parent = format!("00-{trace:032x}-b7ad6b7169203331-01");
        let payload = json!({ "name": name, "headers": { "traceparent": parent } });
        let mut event = event(payload);
        event.context.deadline = NOW_MS + seconds * 1000;
        let mut invocation = handler(event);
        let poll = pin!(&mut invocation).poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll.is_pending());
        invocation
    };
    let [first, second] = of_callers;
    [started("of the first", first, 3), started("of the second", second, 60)]
}

#[test]
fn only_spans_of_the_invocation_that_times_out_become_partial() {
    let function = Function::without_subscriber(&[], |config| config);
    // The same caller, as two of its requests may run in one environment.
    let running = two_invocations(&function, [1, 1], SdkTracer::start);
    let tracer = function.completion.tracer();
    let of_neither = tracer
        .build_with_context(tracer.span_builder("of neither"), &opentelemetry::Context::new());
    let written = Written::read(function.watch()(2900));
    assert_eq!(written.span_names(), ["orders", "of the first"]);
    drop((of_neither, running));
    assert_eq!(function.written().spans.len(), 5);
    assert_eq!(function.watch()(2900), [""; 0]);
}

#[test]
fn an_open_span_with_an_ended_parent_belongs_to_the_invocation_with_its_trace() {
    let function = Function::without_subscriber(&[], |config| config);
    let _running = two_invocations(&function, [1, 2], |tracer, name| {
        let ended = opentelemetry::Context::current_with_span(tracer.start("ended"));
        ended.span().end();
        tracer.build_with_context(tracer.span_builder(name), &ended)
    });
    let written = Written::read(function.watch()(2900));
    assert_eq!(written.span_names(), ["orders", "of the first", "ended", "ended"]);
}

/// Runs an invocation that succeeds, and leaves the span of a connection's task open.
fn connect(function: &Function) -> tracing::Span {
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    let written = function.run(move || {
        let connection = tracing::info_span!("connection");
        connection.in_scope(|| ());
        *keep.lock().unwrap() = Some(connection);
    });
    assert_eq!(written.span_names(), ["orders"]);
    kept.lock().unwrap().take().unwrap()
}

#[test]
fn open_spans_of_an_ended_invocation_and_of_none_are_no_errors() {
    let end_between: fn(&Function) -> Vec<String> = |function| {
        function.completion.shutdown(Duration::from_secs(60)).unwrap();
        function.output.take_lines()
    };
    let end_during: fn(&Function) -> Vec<String> = |function| {
        let _running = two_invocations(function, [1, 2], SdkTracer::start);
        function.completion.shutdown(Duration::from_secs(60)).unwrap();
        function.output.take_lines()
    };
    let time_out: fn(&Function) -> Vec<String> = |function| {
        let watch = Arc::new(function.watch());
        let early = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&early);
        function.run(move || {
            let _open = tracing::info_span!("store").entered();
            *lines.lock().unwrap() = watch(2900);
        });
        std::mem::take(&mut *early.lock().unwrap())
    };
    for (interrupt, interrupted) in [(end_between, 0), (end_during, 4), (time_out, 2)] {
        let function = Function::new();
        let of_init = tracing::info_span!("of init");
        of_init.in_scope(|| ());
        let connection = connect(&function);
        let later = connection.in_scope(|| tracing::info_span!("later"));
        later.in_scope(|| ());
        let written = Written::read(interrupt(&function));
        for name in ["of init", "connection", "later"] {
            let span = written.span_named(name);
            assert_eq!(status(span), "unset", "{name}");
            assert_eq!(attribute(span, "lambda_otlp.partial").as_deref(), Some("true"));
        }
        let errors = written.spans.iter().filter(|span| status(span).starts_with("error: "));
        assert_eq!(errors.count(), interrupted);
    }
}

#[test]
fn an_open_span_of_an_ended_invocation_ends_when_it_was_last_left() {
    const FUTURE_MS: u64 = 4_000_000_000_000;
    let function = Function::new();
    let connection = connect(&function);
    for last_left in [FUTURE_MS, FUTURE_MS + 70] {
        function.clock.store(last_left, Ordering::Relaxed);
        connection.in_scope(|| ());
    }
    function.clock.store(FUTURE_MS + 9000, Ordering::Relaxed);
    function.completion.shutdown(Duration::from_secs(60)).unwrap();
    let end = function.written().span_named("connection").end_time_unix_nano;
    assert_eq!(end, (FUTURE_MS + 70) * 1_000_000);
}

#[test]
fn the_deadline_watch_ignores_a_finished_invocation() {
    let function = Function::new();
    function.invoke();
    drop(function.written());
    drop(function.completion.tracer().start("between invocations"));
    assert_eq!(function.written().span_names(), ["between invocations"]);
    assert_eq!(function.watch()(2900), [""; 0]);
}

#[test]
fn a_shutdown_during_an_invocation_writes_partial_spans() {
    let function = Function::new();
    let completion = function.completion.clone();
    let written = function.run(move || {
        let _open = tracing::info_span!("store").entered();
        completion.shutdown(Duration::from_secs(60)).unwrap();
    });
    assert_eq!(written.spans.len(), 2);
    for (name, error_type) in [("orders", Some(r#""shutdown""#)), ("store", None)] {
        let span = written.span_named(name);
        assert_eq!(status(span), "error: the environment ended during the invocation");
        assert_eq!(attribute(span, "lambda_otlp.partial").as_deref(), Some("true"));
        assert_eq!(attribute(span, "error.type").as_deref(), error_type);
    }
}

/// If an extension is registered, Lambda sends SIGTERM after a timeout.
#[test]
fn a_shutdown_after_a_timeout_writes_only_new_items() {
    let function = Function::new();
    let completion = function.completion.clone();
    let watch = Arc::new(function.watch());
    let clock = Arc::clone(&function.clock);
    let written = function.run(move || {
        let _open = tracing::info_span!("store").entered();
        assert_eq!(Written::read(watch(2900)).span_names(), ["orders", "store"]);
        drop(tracing::info_span!("wait").entered());
        let _new = tracing::info_span!("retry").entered();
        tracing::info!("late");
        clock.store(NOW_MS + 3001, Ordering::Relaxed);
        completion.shutdown(Duration::from_secs(60)).unwrap();
    });
    // The others were written before the timeout, and nothing is reported as lost.
    assert_eq!(written.span_names(), ["retry", "wait"]);
    assert_eq!((written.logs.len(), written.metrics.len()), (1, 0));
}

#[test]
fn a_timed_out_invocation_of_a_managed_instance_does_not_stop_others() {
    for (initialization, expected) in [("lambda-managed-instances", 1), ("on-demand", 0)] {
        let variables = [("AWS_LAMBDA_INITIALIZATION_TYPE", initialization)];
        let function = Function::with_variables(&variables);
        let _timed_out = two_invocations(&function, [1, 2], SdkTracer::start);
        function.clock.store(NOW_MS + 2_995, Ordering::Relaxed);
        let mut other = event(json!({}));
        other.context.deadline = NOW_MS + 60_000;
        function.handle(other, succeed).unwrap();
        assert_eq!(function.written().spans.len(), expected, "{initialization}");
        let [lost, ..] = function.lost(Loss::DeadlineReached);
        assert_eq!(lost, u64::from(expected == 0), "{initialization}");
    }
}
