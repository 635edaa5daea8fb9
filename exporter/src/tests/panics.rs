//! A panic or interference of the application's code during a write only costs its own signal.

use super::driver::{Function, Written, event, succeed};
use crate::export::losses::Loss;
use crate::telemetry::completion::TelemetryCompletionHandler;
use opentelemetry::Context;
use opentelemetry::trace::Tracer as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracer, Span, SpanData, SpanProcessor};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use wire::SignalKind;

/// One invocation with a span, a log record and a measurement.
fn invoke(function: &Function, payload: Value) -> Written {
    let counter = function.completion.meter("test").u64_counter("orders").build();
    let handler = move |event| {
        tracing::info!("received");
        counter.add(1, &[]);
        succeed(event)
    };
    function.handle(event(payload), handler).unwrap();
    function.written()
}

fn counts(written: &Written) -> [usize; 3] {
    [written.spans.len(), written.logs.len(), written.metrics.len()]
}

/// Spans, data points, log records.
fn panicked(function: &Function) -> [u64; 3] {
    let losses = function.completion.telemetry.signals.line.losses();
    SignalKind::ALL.map(|kind| losses.lost(kind, Loss::Panicked))
}

#[derive(Debug)]
struct PanicsAtFlush;

impl SpanProcessor for PanicsAtFlush {
    fn on_start(&self, _: &mut Span, _: &Context) {}
    fn on_end(&self, _: SpanData) {}
    fn force_flush(&self) -> OTelSdkResult {
        panic!("flush")
    }
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[test]
fn a_panicking_processor_flush_is_counted_and_loses_no_lines() {
    let function =
        Function::with(&[], |config| config.with_additional_span_processor(PanicsAtFlush));
    let written = invoke(&function, json!({}));
    let lost = written.metrics.iter().filter(|metric| metric.name != "orders").count();
    assert_eq!((counts(&written), lost), ([1, 1, 2], 1));
    assert_eq!(panicked(&function), [1, 0, 0]);
}

#[test]
fn a_panicking_metric_callback_loses_only_metrics() {
    let function = Function::new();
    let meter = function.completion.meter("test");
    let _gauge = meter.u64_observable_gauge("stock").with_callback(|_| panic!("callback")).build();
    assert_eq!(counts(&invoke(&function, json!({}))), [1, 1, 0]);
    assert_eq!(panicked(&function), [0, 1, 0]);
}

#[test]
fn a_second_metrics_flush_fails_while_the_first_is_written() {
    // Flushes the metrics during their write, like the thread that watches the deadline.
    let completion = Arc::new(OnceLock::<TelemetryCompletionHandler>::new());
    let second = Arc::new(Mutex::new(Vec::new()));
    let (of_gate, results) = (Arc::clone(&completion), Arc::clone(&second));
    let function = Function::with_gate(&[], move |_| {
        let flushed = of_gate.get().map(|completion| completion.meter_provider().force_flush());
        results.lock().unwrap().extend(flushed);
        Ok(())
    });
    function.completion.meter("test").u64_counter("orders").build().add(1, &[]);
    completion.set(function.completion.clone()).unwrap();
    let in_a_moment = std::time::UNIX_EPOCH + Duration::from_millis(super::driver::NOW_MS + 20);
    function.completion.telemetry.begin(in_a_moment);
    function.completion.complete();
    assert_eq!(function.output.take_lines().len(), 1);
    let second = second.lock().unwrap();
    assert!(matches!(second[..], [Err(_)]), "{second:?}");
}

/// Starts a separate trace when a span starts.
#[derive(Debug, Default)]
struct StartsAnother(OnceLock<SdkTracer>);

#[derive(Debug)]
struct Shared(Arc<StartsAnother>);

impl SpanProcessor for Shared {
    fn on_start(&self, span: &mut Span, _: &Context) {
        let is_own = span.exported_data().is_some_and(|span| span.name == "audit");
        if let (Some(tracer), false) = (self.0.0.get(), is_own) {
            let audit = tracer.span_builder("audit");
            drop(tracer.build_with_context(audit, &Context::new()));
        }
    }
    fn on_end(&self, _: SpanData) {}
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[test]
fn an_unneeded_derived_trace_id_reaches_no_other_span() {
    let other = Arc::new(StartsAnother::default());
    let processor = Shared(Arc::clone(&other));
    let function = Function::with(&[], |config| config.with_additional_span_processor(processor));
    other.0.set(function.completion.tracer().clone()).unwrap();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let written = invoke(&function, json!({ "headers": { "traceparent": parent } }));
    let derived = wire::ids::trace_id_from_request_id(super::driver::REQUEST_ID);
    assert_eq!(written.spans.len(), 2);
    assert_ne!(written.span_named("audit").trace_id, derived);
}
