//! However an invocation ends, its span ends and everything is written.

use super::driver::{
    COMPACT, Function, NOW_MS, REQUEST_ID, Records, attribute, block_on, event, shown, shown_value,
    status, succeed,
};
use crate::export::losses::Loss;
use crate::handler::TracedHandler;
use crate::handler::invocation_span::end_all;
use crate::handler::outcome::HandlerFailure;
use crate::lambda_otel_lite::create_traced_handler;
use crate::processors::spans::LambdaSpanProcessor;
use expect_test::{Expect, expect};
use lambda_runtime::{Error, LambdaEvent, Service as _};
use opentelemetry::trace::Tracer as _;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as PointValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use serde_json::{Value, json};
use std::ffi::{CString, IntoStringError};
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use wire::ids::trace_id_from_request_id;

#[test]
fn a_success_is_one_server_span_with_or_without_a_subscriber() {
    for function in [Function::new(), Function::without_subscriber(&[], |config| config)] {
        let response = function.handle(event(json!({})), succeed).unwrap();
        assert_eq!(response, json!({ "statusCode": 200 }));
        let span = function.span();
        assert_eq!((span.name.as_str(), span.kind, status(&span).as_str()), ("orders", 2, "unset"));
        assert_eq!(span.trace_id, trace_id_from_request_id(REQUEST_ID));
        assert_eq!(span.parent_span_id, [0; 0]);
        assert_eq!(span.flags, 0x101);
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
        expect![[r#"
            aws.lambda.invoked_arn="arn:aws:lambda:eu-west-1:123456789012:function:orders:live"
            aws.lambda.tenant_id="BlueTenant"
            cloud.account.id="123456789012"
            cloud.resource_id="arn:aws:lambda:eu-west-1:123456789012:function:orders:7"
            faas.coldstart=true
            faas.invocation_id="3da1f2dc-3222-475e-9205-e2e6c6318895"
            faas.trigger="other"
            http.response.status_code=200
        "#]]
        .assert_eq(&shown(&span.attributes));
    }
}

#[test]
fn telemetry_is_written_before_an_aborting_panic_ends_the_process() {
    let function = Function::new();
    let telemetry = Arc::clone(&function.completion.telemetry);
    let handler = create_traced_handler("orders", function.completion.clone(), move |event| {
        tracing::info_span!("reserve item").in_scope(|| tracing::info!("received"));
        // The panic hook's part: with `panic = "abort"` nothing after it runs.
        let _open = tracing::info_span!("charge card").entered();
        end_all(&telemetry, HandlerFailure::of_panic(&"on fire"));
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

/// A hanging callback of an instrument would block everything after it until Lambda ends the process.
#[test]
fn the_root_record_is_open_until_its_span_is_written_before_metrics_are_collected() {
    let records = Arc::new(Records::new("test"));
    let function = Function::with_variables(&[records.variable()]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = || {
        let seen = Arc::clone(&seen);
        let records = Arc::clone(&records);
        move || seen.lock().unwrap().push(records.root().is_open)
    };
    let of_handler = see();
    let of_callback = see();
    let meter = function.completion.meter("test");
    let gauge = meter.u64_observable_gauge("waits").with_callback(move |_| of_callback());
    let _gauge = gauge.build();
    let span = function.run(of_handler).spans.remove(0);
    assert_eq!(*seen.lock().unwrap(), [true, false]);
    let root = records.root();
    assert_eq!((span.trace_id, span.span_id), (root.trace_id.to_vec(), root.span_id.to_vec()));
}

/// In stdout mode the extension sees neither the span nor the runtime's line, and Lambda reports a success.
#[test]
fn the_root_record_says_that_the_handler_failed() {
    let check = |name: &str, act: &dyn Fn(&Function), has_failed: bool| {
        let records = Records::new(name);
        let function = Function::with_variables(&[records.variable()]);
        act(&function);
        let root = records.root();
        assert_eq!((root.is_open, root.has_failed), (false, has_failed), "{name}");
    };
    let failing = async |_: LambdaEvent<Value>| Err::<Value, Error>("no stock".into());
    check("succeeds", &|function| drop(function.handle(event(json!({})), succeed)), false);
    check("fails", &|function| drop(function.handle(event(json!({})), failing)), true);
}

/// Telemetry refused by stdout is in no line, even if it was refused because of a full buffer.
#[test]
fn a_lost_root_span_is_not_marked_as_written() {
    for (queue_size, line) in [("2048", "standard"), ("1", "standard"), ("2048", "compact")] {
        let records = Records::new(&format!("lost-{queue_size}-{line}"));
        let queue_size = ("LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE", queue_size);
        let variables = [records.variable(), queue_size, ("LAMBDA_OTLP_LINE", line)];
        let function = Function::with_gate(&variables, |_| Err(ErrorKind::BrokenPipe.into()));
        function.invoke();
        assert!(records.root().is_open, "{queue_size:?} {line}");
    }
}

/// The first batch is still being written when the invocation ends.
#[test]
fn the_root_span_has_a_place_in_a_full_buffer_beside_a_stuck_write() {
    let (begins, began) = sync_channel(1);
    let (release, released) = sync_channel::<()>(1);
    let released = Mutex::new(released);
    let writes = AtomicUsize::new(0);
    let variables = [("LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE", "2")];
    let function = Function::with_gate(&variables, move |_| {
        if writes.fetch_add(1, Ordering::Relaxed) == 0 {
            begins.send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
        }
        Ok(())
    });
    let tracer = function.completion.tracer().clone();
    let of_thread = tracer.clone();
    let stuck = std::thread::spawn(move || {
        for name in ["a", "b"] {
            drop(of_thread.start(name));
        }
    });
    began.recv().unwrap();
    let mut event = event(json!({}));
    event.context.deadline = NOW_MS + 20;
    let handler = move |event| {
        for name in ["c", "d", "lost"] {
            drop(tracer.start(name));
        }
        succeed(event)
    };
    function.handle(event, handler).unwrap();
    assert_eq!(function.written().span_names(), ["c", "d", "orders"]);
    release.send(()).unwrap();
    stuck.join().unwrap();
    assert_eq!(function.written().span_names(), ["a", "b"]);
    assert_eq!(function.lost(Loss::BufferFull), [1, 0, 0]);
}

#[test]
fn two_invocations_are_two_traces_and_only_the_first_on_demand_is_cold() {
    for (initialization, expected) in [
        ("on-demand", ["true", "false"]),
        ("provisioned-concurrency", ["false"; 2]),
        ("lambda-managed-instances", ["false"; 2]),
    ] {
        let function =
            Function::with_variables(&[("AWS_LAMBDA_INITIALIZATION_TYPE", initialization)]);
        let spans = [REQUEST_ID, "8fbb3a0c-5bd2-4a15-9a3d-0d3f1a7a2d11"].map(|request_id| {
            let mut event = event(json!({}));
            event.context.request_id = request_id.to_owned();
            function.handle(event, succeed).unwrap();
            function.span()
        });
        assert_ne!(spans[0].trace_id, spans[1].trace_id);
        let cold = spans.each_ref().map(|span| attribute(span, "faas.coldstart").unwrap());
        assert_eq!(cold, expected, "{initialization}");
    }
}

/// The cause of an [`Opaque`] error.
#[derive(Debug)]
struct Cause(std::num::ParseIntError);

/// An error that hides its own type, as `anyhow`'s does.
struct Opaque(Cause);

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a cause")
    }
}

impl std::error::Error for Cause {}

impl std::fmt::Debug for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "loading an order\n\nCaused by: {}", self.0.0)
    }
}

impl std::fmt::Display for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("C string contained non-utf8 bytes")
    }
}

impl std::error::Error for Opaque {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn a_handler_error_sets_the_status_and_an_exception_event_with_its_causes() {
    fn check<E>(error: impl Fn(IntoStringError) -> E + Send + Sync + 'static, expected: &Expect)
    where
        E: std::fmt::Display + std::fmt::Debug + Send + 'static,
    {
        let function = Function::new();
        let failed = move |_| {
            let with_cause = CString::new([0xff]).unwrap().into_string().unwrap_err();
            std::future::ready(Err::<Value, _>(error(with_cause)))
        };
        let handler = create_traced_handler("orders", function.completion.clone(), failed);
        block_on(handler(event(json!({})))).unwrap_err();
        let span = function.span();
        assert_eq!(status(&span), "error: C string contained non-utf8 bytes");
        assert_eq!((span.events.len(), span.events[0].name.as_str()), (1, "exception"));
        expected.assert_eq(&shown(&span.events[0].attributes));
    }
    check(
        Error::from,
        &expect![[r#"
        exception.message="C string contained non-utf8 bytes"
        exception.stacktrace="C string contained non-utf8 bytes\nCaused by: invalid utf-8 sequence of 1 bytes from index 0"
        exception.type="IntoStringError"
    "#]],
    );
    check(
        |own| Error::from(own.to_string()),
        &expect![[r#"
        exception.message="C string contained non-utf8 bytes"
        exception.type="_OTHER"
    "#]],
    );
    check(
        |_| Error::from(Opaque(Cause("x".parse::<u8>().unwrap_err()))),
        &expect![[r#"
        exception.message="C string contained non-utf8 bytes"
        exception.stacktrace="C string contained non-utf8 bytes\nCaused by: a cause"
        exception.type="Cause"
    "#]],
    );
    check(
        |own| own.to_string(),
        &expect![[r#"
        exception.message="C string contained non-utf8 bytes"
        exception.type="alloc::string::String"
    "#]],
    );
}

/// In other languages the forwarder makes this record of the line that the runtime prints.
#[test]
fn a_handler_error_is_one_record_of_its_span_in_the_same_line() {
    let fails = async |_: LambdaEvent<Value>| Err::<Value, Error>("order 7 has no stock".into());
    let records_of = |function: &Function| {
        function.handle(event(json!({})), fails).unwrap_err();
        let written = function.written();
        let root = written.span_named("orders");
        for record in &written.logs {
            assert_eq!((&record.trace_id, &record.span_id), (&root.trace_id, &root.span_id));
            assert_eq!((record.severity_number, record.severity_text.as_str()), (17, "ERROR"));
        }
        (written.lines.len(), written.logs.len(), written.logs.into_iter().next())
    };
    let function = Function::with_variables(&COMPACT);
    let (lines, count, record) = records_of(&function);
    assert_eq!((lines, count), (1, 1));
    expect![[r#"
        exception.message="order 7 has no stock"
        exception.type="_OTHER"
        faas.invocation_id="3da1f2dc-3222-475e-9205-e2e6c6318895"
        lambda_otlp.exception.fingerprint="2c327933cc43ea18"
    "#]]
    .assert_eq(&shown(&record.unwrap().attributes));
    // Without a subscriber nobody else logs the error. A filter may exclude it.
    for (variables, expected) in [(&[][..], 1), (&[("RUST_LOG", "off")][..], 0)] {
        let function = Function::without_subscriber(variables, |config| config);
        assert_eq!(records_of(&function).1, expected, "{variables:?}");
    }
    let function = Function::with(&[], |config| config.with_log_bridge(false));
    assert_eq!(records_of(&function).1, 0);
}

/// The panic hook prints it.
#[test]
fn a_panic_is_no_record() {
    let function = Function::new();
    let panics = |_: LambdaEvent<Value>| async { panic!("on fire") };
    let handler = create_traced_handler::<_, Value, Error, _, _, _>(
        "orders",
        function.completion.clone(),
        panics,
    );
    let invoked = std::panic::AssertUnwindSafe(|| block_on(handler(event(json!({})))));
    std::panic::catch_unwind(invoked).unwrap_err();
    let written = function.written();
    assert_eq!((written.spans.len(), written.logs.len()), (1, 0));
}

/// Such as the span of tower-http's `TraceLayer` in a body, or of tracing-error in an error.
#[test]
fn a_span_in_the_response_or_in_the_error_is_written_when_that_is_dropped() {
    #[derive(Clone, Debug)]
    #[expect(dead_code, reason = "the span ends with it")]
    struct HoldsSpan(tracing::Span);
    impl std::fmt::Display for HoldsSpan {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("no stock")
        }
    }
    impl serde::Serialize for HoldsSpan {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str("in stock")
        }
    }
    for is_error in [false, true] {
        let function = Function::new();
        let handler = move |_: LambdaEvent<Value>| async move {
            let kept = HoldsSpan(tracing::info_span!("kept"));
            if is_error { Err(kept) } else { Ok(kept) }
        };
        let handler = create_traced_handler("orders", function.completion.clone(), handler);
        let result = block_on(handler(event(json!({}))));
        let root = function.span();
        drop(result);
        let written = function.written();
        assert_eq!(written.span_names(), ["kept"]);
        assert_eq!(written.spans[0].parent_span_id, root.span_id);
    }
}

#[test]
fn a_panic_of_the_handler_has_its_place() {
    let function = Function::new();
    let panics = |_: LambdaEvent<Value>| async {
        let nothing: Option<Value> = std::hint::black_box(None);
        Ok::<_, Error>(nothing.expect("a value"))
    };
    let line = line!() - 2;
    let handler = create_traced_handler("orders", function.completion.clone(), panics);
    let invoked = std::panic::AssertUnwindSafe(|| block_on(handler(event(json!({})))));
    std::panic::catch_unwind(invoked).unwrap_err();
    let span = function.span();
    let of_event = |key: &str| {
        let attributes = span.events[0].attributes.iter().find(|own| own.key == key);
        attributes.and_then(|own| own.value.as_ref()).map(shown_value).unwrap()
    };
    assert_eq!(of_event("exception.message"), r#""a value""#);
    let stack_trace = of_event("exception.stacktrace");
    let place = format!("\"panicked at {}:{line}:", file!());
    assert!(stack_trace.starts_with(&place), "{stack_trace}");
}

#[test]
fn a_dropped_future_ends_its_span_and_child_spans() {
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
    let poll = pin!(&mut future).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(poll, Poll::Pending));
    assert_eq!(function.written().lines.len(), 0);
    drop(future);
    let written = function.written();
    let root = written.span_named("orders");
    assert!(status(root).starts_with("error: "));
    assert_eq!(attribute(root, "error.type").as_deref(), Some("\"cancelled\""));
    assert_eq!(written.span_named("waiting").parent_span_id, root.span_id);
}

#[test]
fn a_panicking_extractor_does_not_fail_the_invocation() {
    let function = Function::new();
    let handler = TracedHandler::new("orders", function.completion.clone(), succeed)
        .with_extractor(|_: &Value| panic!("extractor"));
    block_on(handler.clone().call(event(json!({})))).unwrap();
    assert_eq!(function.span().name, "orders");
}

#[test]
fn losses_are_reported_once_when_the_output_works_again() {
    let cumulative = [("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative")];
    for variables in [&[][..], &COMPACT, &cumulative] {
        let works = Arc::new(AtomicBool::new(false));
        let of_gate = Arc::clone(&works);
        let function = Function::with_gate(variables, move |_| {
            if of_gate.load(Ordering::Relaxed) { Ok(()) } else { Err(ErrorKind::BrokenPipe.into()) }
        });
        let mut lost_spans = Vec::new();
        for output_works in [false, false, true, true, true] {
            works.store(output_works, Ordering::Relaxed);
            function.invoke();
            let sums =
                function.written().metrics.into_iter().filter_map(|metric| match metric.data? {
                    Data::Sum(sum) => Some(sum.data_points),
                    _ => None,
                });
            let of_spans =
                sums.flatten().filter(|point| shown(&point.attributes).contains("traces"));
            lost_spans.extend(of_spans.filter_map(|point| point.value));
        }
        let expected = if variables == cumulative { 3 } else { 1 };
        assert_eq!(lost_spans, vec![PointValue::AsInt(2); expected], "{variables:?}");
    }
}

#[test]
fn an_exporter_that_never_finishes_loses_only_its_spans() {
    #[derive(Debug)]
    struct NeverReady;
    impl SpanExporter for NeverReady {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            std::future::pending().await
        }
    }
    let processor = LambdaSpanProcessor::builder().with_exporter(NeverReady).build();
    let function = Function::with(&[], |config| config.with_span_processor(processor));
    let written = function.run(|| tracing::info!("a log record"));
    assert_eq!((written.spans.len(), written.logs.len()), (0, 1));
}

#[test]
fn an_exporter_gets_the_resource_and_can_spawn_tokio_tasks_during_the_flush() {
    /// Its connection is a task of the runtime, which has one thread.
    #[derive(Clone, Debug, Default)]
    struct Connected(Arc<Mutex<Vec<String>>>);
    impl SpanExporter for Connected {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            let exported = batch.into_iter().map(|span| span.name.into_owned()).collect();
            let names: Vec<String> = tokio::spawn(async { exported }).await.unwrap();
            self.0.lock().unwrap().extend(names);
            Ok(())
        }

        fn set_resource(&mut self, resource: &Resource) {
            let name = resource.get(&"service.name".into()).unwrap();
            self.0.lock().unwrap().push(format!("resource of {name}"));
        }
    }
    let exporter = Connected::default();
    let processor = LambdaSpanProcessor::builder().with_exporter(exporter.clone()).build();
    let function = Function::with(&[], |config| config.with_span_processor(processor));
    function.invoke();
    function.invoke();
    let expected = ["resource of orders", "orders", "orders"];
    assert_eq!(*exporter.0.lock().unwrap(), expected);
}

#[test]
fn a_write_waits_half_of_the_time_left_at_most_a_second_and_briefly_while_stdout_is_stuck() {
    let timeouts = Arc::new(Mutex::new(Vec::new()));
    let of_gate = Arc::clone(&timeouts);
    let function = Function::with_gate(&[], move |timeout| {
        let mut timeouts = of_gate.lock().unwrap();
        timeouts.push(timeout.as_millis());
        if matches!(timeouts.len(), 2 | 3) { Err(ErrorKind::TimedOut.into()) } else { Ok(()) }
    });
    let mut event = event(json!({}));
    event.context.deadline = NOW_MS + 100;
    function.handle(event, succeed).unwrap();
    // The deadline of an ended invocation does not count.
    function.clock.store(NOW_MS + 200, Ordering::Relaxed);
    for _ in 0..2 {
        drop(function.completion.tracer().start("between invocations"));
        function.completion.complete();
    }
    assert_eq!(*timeouts.lock().unwrap(), [50, 1000, 5, 5, 1000]);
}

#[test]
fn handler_attributes_override_end_attributes_without_duplicates() {
    use opentelemetry::trace::TraceContextExt as _;
    for function in [Function::new(), Function::without_subscriber(&[], |config| config)] {
        let handler = async |_| {
            let context = opentelemetry::Context::current();
            for (key, value) in [("error.type", "Refused"), ("faas.trigger", "timer")] {
                context.span().set_attribute(opentelemetry::KeyValue::new(key, value));
            }
            Ok(json!({ "statusCode": 502 }))
        };
        function.handle(event(json!({})), handler).unwrap();
        let mut attributes = function.span().attributes;
        attributes.retain(|own| ["error.type", "faas.trigger"].contains(&own.key.as_str()));
        assert_eq!(shown(&attributes), "error.type=\"Refused\"\nfaas.trigger=\"timer\"\n");
    }
}

#[test]
fn an_empty_runtime_context_yields_a_valid_trace_id() {
    let function = Function::new();
    let event = LambdaEvent::new(json!({}), lambda_runtime::Context::default());
    function.handle(event, succeed).unwrap();
    assert_ne!(function.span().trace_id, [0; 16]);
}
