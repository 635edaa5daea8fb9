//! However an invocation ends, its span ends and everything is written.

use super::driver::{
    Function, NOW_MS, Written, attribute, block_on, context, event, shown, status,
};
use crate::export::loss_counts::Loss;
use crate::handler::abort::end_all;
use crate::handler::outcome::HandlerOutcome;
use crate::handler::{TracedHandler, create_traced_handler};
use crate::output::Output;
use crate::processor::spans::LambdaSpanProcessor;
use expect_test::expect;
use lambda_runtime::{Error, LambdaEvent, Service as _};
use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

async fn succeed(_event: LambdaEvent<Value>) -> Result<Value, Error> {
    Ok(json!({ "statusCode": 200 }))
}

#[test]
fn a_success_is_one_server_span_with_lambdas_attributes() {
    let function = Function::new();
    let handler = create_traced_handler("orders", function.completion.clone(), succeed);
    assert_eq!(block_on(handler(event(json!({})))).unwrap(), json!({ "statusCode": 200 }));
    let span = function.span();
    assert_eq!((span.name.as_str(), span.kind, status(&span).as_str()), ("orders", 2, "unset"));
    assert_eq!(span.parent_span_id, [0; 0]);
    assert_eq!(span.flags, 0x101);
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    expect![[r#"
        aws.lambda.invoked_arn="arn:aws:lambda:eu-west-1:123456789012:function:orders"
        cloud.account.id="123456789012"
        cloud.resource_id="arn:aws:lambda:eu-west-1:123456789012:function:orders"
        faas.coldstart=true
        faas.invocation_id="3da1f2dc-3222-475e-9205-e2e6c6318895"
        faas.trigger="other"
        http.response.status_code=200
    "#]]
    .assert_eq(&shown(&span.attributes));
}

#[test]
fn where_a_panic_ends_the_process_what_there_is_is_written_before() {
    let function = Function::new();
    let telemetry = Arc::clone(&function.completion.telemetry);
    let handler = create_traced_handler("orders", function.completion.clone(), move |event| {
        tracing::info_span!("reserve item").in_scope(|| tracing::info!("received"));
        // The panic hook's part: with `panic = "abort"` nothing after it runs.
        let outcome = HandlerOutcome::Panic { message: "on fire".to_owned() };
        let _open = tracing::info_span!("charge card").entered();
        end_all(&telemetry, &outcome);
        succeed(event)
    });
    let mut invocation = std::pin::pin!(handler(event(json!({}))));
    drop(invocation.as_mut().poll(&mut Context::from_waker(Waker::noop())));
    let written = function.written();
    // The rest belongs to the test, whose process continues.
    assert_eq!(written.span_names()[..3], ["charge card", "reserve item", "orders"]);
    let open = written.span_named("charge card");
    assert_eq!(status(open), "error: the process ended in a panic");
    assert_eq!(attribute(open, "lambda_otlp.partial").as_deref(), Some("true"));
    let root = written.span_named("orders");
    assert_eq!((status(root).as_str(), written.logs.len()), ("error: on fire", 1));
    assert_eq!(attribute(root, "error.type").as_deref(), Some(r#""panic""#));
}

#[derive(Debug)]
struct ClosedOutput;

impl Output for ClosedOutput {
    fn write_lines(&self, _lines: &[u8], _timeout: Duration) -> std::io::Result<()> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
}

/// Creates the file of the records, like an extension before it registers.
fn make_records(api: &str) {
    std::fs::write(wire::invocation_record::path(api), "").unwrap();
}

/// The content of the first invocation's record about its root.
fn root(api: &str) -> wire::invocation_record::RootSpan {
    let records = std::fs::read(wire::invocation_record::path(api)).unwrap();
    wire::invocation_record::find(&records, super::driver::REQUEST_ID).next().unwrap()
}

#[test]
fn an_extension_is_told_of_the_root_and_when_it_is_written() {
    let api = format!("test:{}", std::process::id());
    make_records(&api);
    let variables = [("AWS_LAMBDA_RUNTIME_API", api.as_str())];
    let function = Function::with_variables(&variables);
    let api_of_handler = api.clone();
    let handler = move |event: LambdaEvent<Value>| {
        assert!(root(&api_of_handler).is_open, "the handler runs");
        succeed(event)
    };
    let handler = create_traced_handler("orders", function.completion.clone(), handler);
    block_on(handler(event(json!({})))).unwrap();
    let (span, written) = (function.span(), root(&api));
    assert_eq!(
        (span.trace_id, span.span_id),
        (written.trace_id.to_vec(), written.span_id.to_vec())
    );
    assert!(!written.is_open, "it is in a line");
    std::fs::remove_file(wire::invocation_record::path(&api)).unwrap();
}

/// Telemetry refused by stdout is in no line, even if it was refused because of a full buffer.
#[test]
fn a_root_that_is_lost_is_not_told_as_written() {
    for queue_size in ["2048", "1"] {
        let api = format!("lost-{queue_size}:{}", std::process::id());
        make_records(&api);
        let variables = [
            ("AWS_LAMBDA_RUNTIME_API", api.as_str()),
            ("LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE", queue_size),
        ];
        let function =
            Function::with(&variables, |config| config.with_output(Arc::new(ClosedOutput)));
        let handler = create_traced_handler("orders", function.completion.clone(), succeed);
        block_on(handler(event(json!({})))).unwrap();
        assert!(root(&api).is_open, "{queue_size}");
        std::fs::remove_file(wire::invocation_record::path(&api)).unwrap();
    }
}

#[test]
fn a_root_is_told_as_written_before_all_else_is() {
    let api = format!("first:{}", std::process::id());
    make_records(&api);
    let function = Function::with_variables(&[("AWS_LAMBDA_RUNTIME_API", api.as_str())]);
    // A hanging callback would block everything after it until Lambda ends the process.
    let (seen, of_callback) = (Arc::new(std::sync::Mutex::new(None)), api.clone());
    let saw = Arc::clone(&seen);
    let meter = function.completion.meter("test");
    let _gauge = meter
        .u64_observable_gauge("waits")
        .with_callback(move |_| {
            saw.lock().unwrap().get_or_insert_with(|| root(&of_callback).is_open);
        })
        .build();
    let handler = create_traced_handler("orders", function.completion.clone(), succeed);
    block_on(handler(event(json!({})))).unwrap();
    assert_eq!(*seen.lock().unwrap(), Some(false));
    std::fs::remove_file(wire::invocation_record::path(&api)).unwrap();
}

#[test]
fn without_a_subscriber_the_span_is_the_same() {
    let with = Function::new();
    let without = Function::without_subscriber(&[], |config| config);
    let spans = [&with, &without].map(|function| {
        let handler = create_traced_handler("orders", function.completion.clone(), succeed);
        block_on(handler(event(json!({})))).unwrap();
        let span = function.span();
        (span.name.clone(), span.kind, span.flags, span.trace_id.clone(), shown(&span.attributes))
    });
    assert_eq!(spans[0], spans[1]);
}

#[test]
fn two_invocations_are_two_traces_and_only_the_first_is_cold() {
    let function = Function::new();
    let handler = create_traced_handler("orders", function.completion.clone(), succeed);
    let spans = ["3da1f2dc-3222-475e-9205-e2e6c6318895", "8fbb3a0c-5bd2-4a15-9a3d-0d3f1a7a2d11"]
        .map(|request_id| {
            let mut event = event(json!({}));
            event.context.request_id = request_id.to_owned();
            block_on(handler(event)).unwrap();
            function.span()
        });
    assert_ne!(spans[0].trace_id, spans[1].trace_id);
    let cold = spans.each_ref().map(|span| attribute(span, "faas.coldstart").unwrap());
    assert_eq!(cold, ["true", "false"]);
}

#[test]
fn nobody_waits_for_an_environment_that_is_ready_before() {
    for initialization in ["provisioned-concurrency", "lambda-managed-instances"] {
        let function =
            Function::with_variables(&[("AWS_LAMBDA_INITIALIZATION_TYPE", initialization)]);
        let handler = create_traced_handler("orders", function.completion.clone(), succeed);
        block_on(handler(event(json!({})))).unwrap();
        assert_eq!(attribute(&function.span(), "faas.coldstart").as_deref(), Some("false"));
    }
}

#[test]
fn the_status_follows_the_response() {
    let function = Function::new();
    let check = |response: Value, expected_status: &str, error_type: Option<&str>| {
        let handler = TracedHandler::new("orders", function.completion.clone(), {
            move |_: LambdaEvent<Value>| {
                let response = response.clone();
                async move { Ok::<_, Error>(response) }
            }
        });
        block_on(handler.clone().call(event(json!({})))).unwrap();
        let span = function.span();
        assert_eq!(status(&span), expected_status);
        assert_eq!(attribute(&span, "error.type").as_deref(), error_type);
    };
    check(json!(null), "unset", None);
    check(json!({ "statusCode": 200 }), "unset", None);
    check(json!({ "statusCode": 404 }), "unset", None);
    check(json!({ "statusCode": 500 }), "error: ", Some("\"500\""));
    check(json!({ "statusCode": "503" }), "error: ", Some("\"503\""));
    check(json!({ "statusCode": "nonsense" }), "unset", None);
}

#[test]
fn an_error_of_the_handler_is_an_error_with_an_exception_event() {
    let function = Function::new();
    let handler = create_traced_handler(
        "orders",
        function.completion.clone(),
        |_: LambdaEvent<Value>| async { Err::<Value, Error>("order 7 is gone".into()) },
    );
    let error = block_on(handler(event(json!({})))).unwrap_err();
    assert_eq!(error.to_string(), "order 7 is gone");
    let span = function.span();
    assert_eq!(status(&span), "error: order 7 is gone");
    assert_eq!(attribute(&span, "error.type").as_deref(), Some("\"_OTHER\""));
    assert_eq!(span.events.len(), 1);
    assert_eq!(span.events[0].name, "exception");
    expect![[r#"
        exception.message="order 7 is gone"
        exception.type="_OTHER"
    "#]]
    .assert_eq(&shown(&span.events[0].attributes));
}

#[test]
fn a_panic_reaches_the_runtime_and_its_spans_the_output() {
    let function = Function::new();
    let tracer = function.completion.tracer_provider().tracer("test");
    let handler = create_traced_handler("orders", function.completion.clone(), {
        move |_: LambdaEvent<Value>| {
            let tracer = tracer.clone();
            async move {
                let _open = tracing::info_span!("open at the panic").entered();
                drop(tracer.start("finished before"));
                tracing::info!("about to fail");
                assert_eq!(1, 2, "one is not two");
                Ok::<Value, Error>(json!(null))
            }
        }
    });
    // Like lambda_runtime's CatchPanicService.
    let future = handler(event(json!({})));
    let panic = catch_unwind(AssertUnwindSafe(|| block_on(future))).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("one is not two"));
    let written = function.written();
    let root = written.span_named("orders");
    assert!(status(root).contains("one is not two"), "{}", status(root));
    assert_eq!(attribute(root, "error.type").as_deref(), Some("\"panic\""));
    assert_eq!(root.events.len(), 1);
    for child in ["open at the panic", "finished before"] {
        assert_eq!(written.span_named(child).trace_id, root.trace_id);
    }
    assert_eq!(written.logs.len(), 1);
}

#[test]
fn a_panic_before_the_first_await_is_no_different() {
    let function = Function::new();
    let handler = create_traced_handler(
        "orders",
        function.completion.clone(),
        |event: LambdaEvent<Value>| {
            assert!(event.payload.is_null(), "no future at all");
            async { Ok::<Value, Error>(json!(null)) }
        },
    );
    let future = handler(event(json!({})));
    assert!(catch_unwind(AssertUnwindSafe(|| block_on(future))).is_err());
    assert_eq!(status(&function.span()), "error: no future at all");
}

#[test]
fn a_dropped_future_ends_its_span_and_those_inside() {
    let function = Function::new();
    let handler = create_traced_handler(
        "orders",
        function.completion.clone(),
        |_: LambdaEvent<Value>| async {
            let span = tracing::info_span!("waiting");
            tracing::Instrument::instrument(std::future::pending::<()>(), span).await;
            Ok::<Value, Error>(json!(null))
        },
    );
    let mut future = handler(event(json!({})));
    let poll = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(poll, Poll::Pending));
    assert_eq!(function.written().lines.len(), 0);
    drop(future);
    let written = function.written();
    let root = written.span_named("orders");
    assert!(status(root).starts_with("error: "));
    assert_eq!(attribute(root, "error.type").as_deref(), Some("\"cancelled\""));
    assert_eq!(written.span_named("waiting").parent_span_id, root.span_id);
}

/// Runs an invocation whose handler blocks its thread in a span after another has ended, and calls `meanwhile` on another thread.
/// thread.
fn while_a_handler_blocks<R: Send + 'static>(
    function: &Function,
    meanwhile: impl FnOnce() -> R + Send + 'static,
) -> R {
    let (blocked, is_blocked) = sync_channel::<()>(0);
    let (release, released) = sync_channel::<()>(0);
    let released = std::sync::Mutex::new(released);
    let handler = TracedHandler::new("orders", function.completion.clone(), {
        move |_: LambdaEvent<Value>| {
            drop(tracing::info_span!("finished").entered());
            tracing::info!("reading");
            let _open = tracing::info_span!("open", bank = "north").entered();
            blocked.send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
            async { Ok::<Value, Error>(json!(null)) }
        }
    });
    let other = std::thread::spawn(move || {
        is_blocked.recv().unwrap();
        let result = meanwhile();
        release.send(()).unwrap();
        result
    });
    block_on(handler.clone().call(event(json!({})))).unwrap();
    other.join().unwrap()
}

#[test]
fn shortly_before_the_deadline_all_spans_are_written_those_that_are_open_as_partial() {
    let function = Function::new();
    let (watch, clock) = (function.completion.clone(), Arc::clone(&function.clock));
    let output = Arc::clone(&function.output);
    let lines = while_a_handler_blocks(&function, move || {
        clock.store(NOW_MS + 2899, Ordering::Relaxed);
        watch.telemetry.deadline.step();
        assert_eq!(output.take_lines(), [""; 0], "too early");
        clock.store(NOW_MS + 2900, Ordering::Relaxed);
        watch.telemetry.deadline.step();
        output.take_lines()
    });
    let late = function.written();
    assert_eq!(late.span_names(), ["open", "orders"], "the handler has ended all the same");
    assert!(late.lines.iter().all(|line| !line.contains("partial")));
    let is_partial = |line: &String| line.contains(r#""content-encoding":"gzip","partial":true"#);
    assert_eq!(lines.iter().map(is_partial).collect::<Vec<_>>(), [true, false, false]);
    let early = Written::read(lines);
    assert_eq!(early.span_names(), ["orders", "open", "finished"]);
    assert_eq!(early.logs.len(), 1);
    let timed_out = "error: the invocation was about to time out";
    for name in ["orders", "open"] {
        let (partial, whole) = (early.span_named(name), late.span_named(name));
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
    assert_eq!(attribute(early.span_named("open"), "bank").as_deref(), Some(r#""north""#));
    expect![[r#"
        aws.lambda.invoked_arn="arn:aws:lambda:eu-west-1:123456789012:function:orders"
        cloud.account.id="123456789012"
        cloud.resource_id="arn:aws:lambda:eu-west-1:123456789012:function:orders"
        error.type="timeout"
        faas.coldstart=true
        faas.invocation_id="3da1f2dc-3222-475e-9205-e2e6c6318895"
        faas.trigger="other"
        lambda_otlp.partial=true
    "#]]
    .assert_eq(&shown(&early.span_named("orders").attributes));
}

#[test]
fn an_extension_is_told_of_a_root_that_is_written_as_partial() {
    let api = format!("partial:{}", std::process::id());
    make_records(&api);
    let function = Function::with_variables(&[("AWS_LAMBDA_RUNTIME_API", api.as_str())]);
    let (watch, clock) = (function.completion.clone(), Arc::clone(&function.clock));
    let of_thread = api.clone();
    let is_open = while_a_handler_blocks(&function, move || {
        let before = root(&of_thread).is_open;
        clock.store(NOW_MS + 2900, Ordering::Relaxed);
        watch.telemetry.deadline.step();
        [before, root(&of_thread).is_open]
    });
    assert_eq!(is_open, [true, false]);
    std::fs::remove_file(wire::invocation_record::path(&api)).unwrap();
}

#[test]
fn of_several_invocations_only_the_spans_of_the_one_that_times_out_are_partial() {
    let function = Function::without_subscriber(&[], |config| config);
    let handler = create_traced_handler("orders", function.completion.clone(), {
        let tracer = function.completion.tracer().clone();
        move |event: LambdaEvent<Value>| {
            let name = event.payload["name"].as_str().unwrap().to_owned();
            let child = tracer.start(name);
            async move {
                let _child = child;
                std::future::pending::<Result<Value, Error>>().await
            }
        }
    });
    // Both have the same caller, as two of its requests may run in one environment.
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let started = |name: &str, seconds: u64| {
        let payload = json!({ "name": name, "headers": { "traceparent": parent } });
        let mut event = event(payload);
        event.context.deadline = NOW_MS + seconds * 1000;
        let mut invocation = handler(event);
        let poll = invocation.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll.is_pending());
        invocation
    };
    let (first, second) = (started("of the first", 3), started("of the second", 60));
    let tracer = function.completion.tracer();
    let of_neither = tracer
        .build_with_context(tracer.span_builder("of neither"), &opentelemetry::Context::new());
    function.clock.store(NOW_MS + 2900, Ordering::Relaxed);
    function.completion.telemetry.deadline.step();
    let written = function.written();
    assert_eq!(written.span_names(), ["orders", "of the first"]);
    drop((of_neither, first, second));
    assert_eq!(function.written().spans.len(), 5);
    function.completion.telemetry.deadline.step();
    assert_eq!(function.written().lines, [""; 0]);
}

#[test]
fn an_invocation_that_is_over_is_not_watched() {
    let function = Function::new();
    let handler = create_traced_handler("orders", function.completion.clone(), succeed);
    block_on(handler(event(json!({})))).unwrap();
    drop(function.written());
    drop(function.completion.tracer().start("between invocations"));
    function.clock.store(NOW_MS + 2900, Ordering::Relaxed);
    function.completion.telemetry.deadline.step();
    assert_eq!(function.written().lines.len(), 0);
}

#[test]
fn a_panicking_extractor_costs_attributes_only() {
    let function = Function::new();
    let handler = TracedHandler::new("orders", function.completion.clone(), succeed)
        .with_extractor(|_: &Value| panic!("extractor"));
    block_on(handler.clone().call(event(json!({})))).unwrap();
    assert_eq!(function.span().name, "orders");
}

#[test]
fn an_output_that_fails_costs_telemetry_only_and_is_counted() {
    #[derive(Debug)]
    struct Closed;
    impl Output for Closed {
        fn write_lines(&self, _: &[u8], _: Duration) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
    let function = Function::with(&[], |config| config.with_output(std::sync::Arc::new(Closed)));
    let handler = create_traced_handler("orders", function.completion.clone(), succeed);
    block_on(handler(event(json!({})))).unwrap();
    let losses = function.completion.telemetry.signals.line.losses();
    let lost = losses.lost(wire::SignalKind::Traces, Loss::OutputFailed);
    assert_eq!(lost, 1);
}

#[test]
fn an_exporter_that_is_never_ready_costs_its_spans_only() {
    #[derive(Debug)]
    struct NeverReady;
    impl opentelemetry_sdk::trace::SpanExporter for NeverReady {
        async fn export(
            &self,
            _: Vec<opentelemetry_sdk::trace::SpanData>,
        ) -> opentelemetry_sdk::error::OTelSdkResult {
            std::future::pending().await
        }
    }
    let processor = LambdaSpanProcessor::builder().with_exporter(NeverReady).build();
    let function = Function::with(&[], |config| config.with_span_processor(processor));
    let handler = create_traced_handler("orders", function.completion.clone(), |event| async {
        tracing::info!("a log record");
        succeed(event).await
    });
    block_on(handler(event(json!({})))).unwrap();
    let written = function.written();
    assert_eq!((written.spans.len(), written.logs.len()), (0, 1));
}

#[test]
fn an_exporter_that_needs_the_runtime_has_it_while_the_invocation_is_written() {
    /// Its connection is a task of the runtime, which has one thread.
    #[derive(Clone, Debug, Default)]
    struct Connected(Arc<std::sync::Mutex<Vec<String>>>);
    impl opentelemetry_sdk::trace::SpanExporter for Connected {
        async fn export(
            &self,
            batch: Vec<opentelemetry_sdk::trace::SpanData>,
        ) -> opentelemetry_sdk::error::OTelSdkResult {
            let names = batch.into_iter().map(|span| span.name.into_owned()).collect();
            let names: Vec<String> = tokio::spawn(async { names }).await.unwrap();
            self.0.lock().unwrap().extend(names);
            Ok(())
        }
    }
    let exporter = Connected::default();
    let processor = LambdaSpanProcessor::builder().with_exporter(exporter.clone()).build();
    let function = Function::with(&[], |config| config.with_span_processor(processor));
    let handler = create_traced_handler("orders", function.completion.clone(), succeed);
    block_on(handler(event(json!({})))).unwrap();
    block_on(handler(event(json!({})))).unwrap();
    assert_eq!(*exporter.0.lock().unwrap(), ["orders", "orders"]);
}

#[test]
fn an_invocation_that_is_over_hurries_nobody() {
    #[derive(Debug, Default)]
    struct Notes(std::sync::Mutex<Vec<Duration>>);
    impl Output for Notes {
        fn write_lines(&self, _: &[u8], timeout: Duration) -> std::io::Result<()> {
            self.0.lock().unwrap().push(timeout);
            Ok(())
        }
    }
    let output = std::sync::Arc::new(Notes::default());
    let function =
        Function::with(&[], |config| config.with_output(std::sync::Arc::clone(&output) as _));
    let handler = create_traced_handler("orders", function.completion.clone(), succeed);
    let mut event = event(json!({}));
    event.context.deadline = NOW_MS + 100;
    block_on(handler(event)).unwrap();
    function.clock.store(NOW_MS + 200, Ordering::Relaxed);
    drop(function.completion.tracer().start("between invocations"));
    function.completion.complete();
    assert_eq!(*output.0.lock().unwrap(), [Duration::from_millis(50), Duration::from_secs(1)]);
}

#[test]
fn what_the_handler_says_of_its_end_stays_and_is_said_once() {
    use opentelemetry::trace::TraceContextExt as _;
    let check = |function: &Function| {
        let handler = create_traced_handler(
            "orders",
            function.completion.clone(),
            |_: LambdaEvent<Value>| async {
                let context = opentelemetry::Context::current();
                for (key, value) in [("error.type", "Refused"), ("faas.trigger", "timer")] {
                    context.span().set_attribute(opentelemetry::KeyValue::new(key, value));
                }
                Ok::<_, Error>(json!({ "statusCode": 502 }))
            },
        );
        block_on(handler(event(json!({})))).unwrap();
        expect![[r#"
            aws.lambda.invoked_arn="arn:aws:lambda:eu-west-1:123456789012:function:orders"
            cloud.account.id="123456789012"
            cloud.resource_id="arn:aws:lambda:eu-west-1:123456789012:function:orders"
            error.type="Refused"
            faas.coldstart=true
            faas.invocation_id="3da1f2dc-3222-475e-9205-e2e6c6318895"
            faas.trigger="timer"
            http.response.status_code=502
        "#]]
        .assert_eq(&shown(&function.span().attributes));
    };
    check(&Function::new());
    check(&Function::without_subscriber(&[], |config| config));
}

#[test]
fn a_shutdown_during_an_invocation_writes_open_spans_as_partial_ones() {
    let function = Function::new();
    let completion = function.completion.clone();
    let handler = create_traced_handler("orders", function.completion.clone(), move |event| {
        let _open = tracing::info_span!("store").entered();
        completion.shutdown(Duration::from_secs(60)).unwrap();
        succeed(event)
    });
    block_on(handler(event(json!({})))).unwrap();
    let written = function.written();
    let mut names = written.span_names();
    names.sort_unstable();
    assert_eq!(names, ["orders", "store"]);
    for span in &written.spans {
        assert_eq!(status(span), "error: the environment ended during the invocation");
        assert_eq!(attribute(span, "lambda_otlp.partial").as_deref(), Some("true"));
    }
    let error_type = |name| attribute(written.span_named(name), "error.type");
    assert_eq!(
        (error_type("orders").as_deref(), error_type("store")),
        (Some(r#""shutdown""#), None)
    );
}

/// If an extension is registered, Lambda sends SIGTERM after a timeout.
#[test]
fn a_shutdown_after_a_timeout_writes_what_is_new_and_loses_nothing() {
    let function = Function::new();
    let (completion, clock) = (function.completion.clone(), Arc::clone(&function.clock));
    let output = Arc::clone(&function.output);
    let handler = create_traced_handler("orders", function.completion.clone(), move |event| {
        let _open = tracing::info_span!("store").entered();
        clock.store(NOW_MS + 2900, Ordering::Relaxed);
        completion.telemetry.deadline.step();
        assert_eq!(Written::read(output.take_lines()).span_names(), ["orders", "store"]);
        let _new = tracing::info_span!("retry").entered();
        tracing::info!("late");
        clock.store(NOW_MS + 3001, Ordering::Relaxed);
        completion.shutdown(Duration::from_secs(60)).unwrap();
        succeed(event)
    });
    block_on(handler(event(json!({})))).unwrap();
    let written = function.written();
    assert_eq!(written.span_names(), ["retry"], "the others were written before the timeout");
    assert_eq!(written.logs.len(), 1);
    assert_eq!(written.metrics.len(), 0, "nothing is reported as lost");
}

#[test]
fn the_context_of_the_runtime_may_be_empty() {
    let function = Function::new();
    let handler = create_traced_handler("orders", function.completion.clone(), succeed);
    let event = LambdaEvent::new(json!({}), lambda_runtime::Context::default());
    assert_ne!(event.context, context());
    block_on(handler(event)).unwrap();
    assert_ne!(function.span().trace_id, [0; 16]);
}
