//! However an invocation ends, its span ends and everything is written.

use super::driver::{
    COMPACT, Function, NOW_MS, REQUEST_ID, Records, attribute, block_on, event, shown, status,
    succeed,
};
use crate::handler::invocation_span::end_all;
use crate::handler::outcome::HandlerOutcome;
use crate::handler::{TracedHandler, create_traced_handler};
use crate::processor::spans::LambdaSpanProcessor;
use expect_test::expect;
use lambda_runtime::{Error, LambdaEvent, Service as _};
use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as PointValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
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
}

#[test]
fn telemetry_is_written_before_an_aborting_panic_ends_the_process() {
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

#[test]
fn the_root_record_is_open_until_its_span_is_written() {
    let records = Arc::new(Records::new("test"));
    let function = Function::with_variables(&[records.variable()]);
    let of_handler = Arc::clone(&records);
    let handler = move |event| {
        assert!(of_handler.root().is_open, "the handler runs");
        succeed(event)
    };
    function.handle(event(json!({})), handler).unwrap();
    let (span, written) = (function.span(), records.root());
    assert_eq!(
        (span.trace_id, span.span_id),
        (written.trace_id.to_vec(), written.span_id.to_vec())
    );
    assert!(!written.is_open, "it is in a line");
}

/// Telemetry refused by stdout is in no line, even if it was refused because of a full buffer.
#[test]
fn a_lost_root_span_is_not_marked_as_written() {
    for queue_size in ["2048", "1"] {
        let records = Records::new(&format!("lost-{queue_size}"));
        let variables = [records.variable(), ("LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE", queue_size)];
        let function = Function::with_gate(&variables, |_| Err(ErrorKind::BrokenPipe.into()));
        function.invoke();
        assert!(records.root().is_open, "{queue_size}");
    }
}

#[test]
fn the_root_is_marked_as_written_before_metrics_are_collected() {
    let records = Arc::new(Records::new("first"));
    let function = Function::with_variables(&[records.variable()]);
    // A hanging callback would block everything after it until Lambda ends the process.
    let seen = Arc::new(Mutex::new(None));
    let (saw, of_callback) = (Arc::clone(&seen), Arc::clone(&records));
    let meter = function.completion.meter("test");
    let _gauge = meter
        .u64_observable_gauge("waits")
        .with_callback(move |_| {
            saw.lock().unwrap().get_or_insert_with(|| of_callback.root().is_open);
        })
        .build();
    function.invoke();
    assert_eq!(*seen.lock().unwrap(), Some(false));
}

#[test]
fn two_invocations_are_two_traces_and_only_the_first_is_cold() {
    let function = Function::new();
    let spans = ["3da1f2dc-3222-475e-9205-e2e6c6318895", "8fbb3a0c-5bd2-4a15-9a3d-0d3f1a7a2d11"]
        .map(|request_id| {
            let mut event = event(json!({}));
            event.context.request_id = request_id.to_owned();
            function.handle(event, succeed).unwrap();
            function.span()
        });
    assert_ne!(spans[0].trace_id, spans[1].trace_id);
    let cold = spans.each_ref().map(|span| attribute(span, "faas.coldstart").unwrap());
    assert_eq!(cold, ["true", "false"]);
}

#[test]
fn a_preinitialized_environment_reports_no_cold_start() {
    for initialization in ["provisioned-concurrency", "lambda-managed-instances"] {
        let function =
            Function::with_variables(&[("AWS_LAMBDA_INITIALIZATION_TYPE", initialization)]);
        function.invoke();
        assert_eq!(attribute(&function.span(), "faas.coldstart").as_deref(), Some("false"));
    }
}

#[test]
fn the_status_follows_the_response() {
    let function = Function::new();
    let check =
        |response: Value, expected: &str, error_type: Option<&str>, failed: Option<&str>| {
            let handler = move |_| std::future::ready(Ok(response.clone()));
            function.handle(event(json!({})), handler).unwrap();
            let span = function.span();
            assert_eq!(status(&span), expected);
            assert_eq!(attribute(&span, "error.type").as_deref(), error_type);
            assert_eq!(attribute(&span, "aws.lambda.batch_item_failures").as_deref(), failed);
        };
    check(json!(null), "unset", None, None);
    check(json!({ "statusCode": 200 }), "unset", None, None);
    check(json!({ "statusCode": 404 }), "unset", None, None);
    check(json!({ "statusCode": 500 }), "error: ", Some("\"500\""), None);
    check(json!({ "statusCode": "503" }), "error: ", Some("\"503\""), None);
    for nonsense in
        [json!("nonsense"), json!(-1), json!(70000), json!(502.0), json!({}), json!(null)]
    {
        check(json!({ "statusCode": nonsense }), "unset", None, None);
    }
    // Only the top level counts.
    let inner = json!({ "statusCode": 502, "batchItemFailures": [{}] });
    for response in [json!({ "body": inner }), json!({ "statusCode": inner }), json!([inner])] {
        check(response, "unset", None, None);
    }
    check(json!("statusCode"), "unset", None, None);
    let failed = json!([{ "itemIdentifier": "one" }, { "itemIdentifier": "two" }]);
    let message = "error: 2 of the batch's messages failed; Lambda delivers them again";
    let error_type = Some("\"batch_item_failures\"");
    check(json!({ "batchItemFailures": failed }), message, error_type, Some("2"));
    for none in [json!([]), json!({ "itemIdentifier": "a" }), json!("two"), json!(null)] {
        check(json!({ "batchItemFailures": none }), "unset", None, None);
    }
}

#[test]
fn a_handler_error_sets_the_status_and_an_exception_event() {
    let function = Function::new();
    let handler = |_| std::future::ready(Err("order 7 is gone".into()));
    let error = function.handle(event(json!({})), handler).unwrap_err();
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
fn the_causes_of_an_error_are_in_its_stack_trace() {
    #[derive(Debug)]
    struct Failed(std::num::ParseIntError);
    impl std::fmt::Display for Failed {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("no order stored")
        }
    }
    impl std::error::Error for Failed {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    fn check<E>(error: impl Fn(Failed) -> E + Send + Sync + 'static, expected: &str)
    where
        E: std::fmt::Display + std::fmt::Debug + Send + 'static,
    {
        let function = Function::new();
        let failed = move |_| {
            let cause = "seven".parse::<u8>().unwrap_err();
            std::future::ready(Err::<Value, _>(error(Failed(cause))))
        };
        let handler = create_traced_handler("orders", function.completion.clone(), failed);
        block_on(handler(event(json!({})))).unwrap_err();
        let attributes = &function.span().events[0].attributes;
        let stack_trace = attributes.iter().find(|own| own.key == "exception.stacktrace");
        assert_eq!(
            stack_trace.map(|own| shown(std::slice::from_ref(own))).unwrap_or_default(),
            expected
        );
    }
    check(
        Error::from,
        "exception.stacktrace=\"no order stored\\nCaused by: invalid digit found in string\"\n",
    );
    check(|own| own, "exception.stacktrace=\"Failed(ParseIntError { kind: InvalidDigit })\"\n");
    check(|own| Error::from(own.to_string()), "");
    check(|own| own.to_string(), "");
}

#[test]
fn a_panic_reaches_the_runtime_and_its_spans_are_written() {
    let function = Function::new();
    let tracer = function.completion.tracer_provider().tracer("test");
    let handler = move |_| {
        let tracer = tracer.clone();
        async move {
            let _open = tracing::info_span!("open at the panic").entered();
            drop(tracer.start("finished before"));
            tracing::info!("about to fail");
            assert_eq!(1, 2, "one is not two");
            Ok(json!(null))
        }
    };
    // Like lambda_runtime's CatchPanicService.
    let invocation = AssertUnwindSafe(|| function.handle(event(json!({})), handler));
    let panic = catch_unwind(invocation).unwrap_err();
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
            let names = batch.into_iter().map(|span| span.name.into_owned()).collect();
            let names: Vec<String> = tokio::spawn(async { names }).await.unwrap();
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
fn a_finished_invocation_does_not_shorten_later_write_timeouts() {
    let timeouts = Arc::new(Mutex::new(Vec::new()));
    let of_gate = Arc::clone(&timeouts);
    let function = Function::with_gate(&[], move |timeout| {
        of_gate.lock().unwrap().push(timeout);
        Ok(())
    });
    let mut event = event(json!({}));
    event.context.deadline = NOW_MS + 100;
    function.handle(event, succeed).unwrap();
    function.clock.store(NOW_MS + 200, Ordering::Relaxed);
    drop(function.completion.tracer().start("between invocations"));
    function.completion.complete();
    assert_eq!(*timeouts.lock().unwrap(), [Duration::from_millis(50), Duration::from_secs(1)]);
}

#[test]
fn handler_attributes_override_end_attributes_without_duplicates() {
    use opentelemetry::trace::TraceContextExt as _;
    let check = |function: &Function| {
        let handler = async |_| {
            let context = opentelemetry::Context::current();
            for (key, value) in [("error.type", "Refused"), ("faas.trigger", "timer")] {
                context.span().set_attribute(opentelemetry::KeyValue::new(key, value));
            }
            Ok(json!({ "statusCode": 502 }))
        };
        function.handle(event(json!({})), handler).unwrap();
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
fn an_empty_runtime_context_yields_a_valid_trace_id() {
    let function = Function::new();
    let event = LambdaEvent::new(json!({}), lambda_runtime::Context::default());
    function.handle(event, succeed).unwrap();
    assert_ne!(function.span().trace_id, [0; 16]);
}
