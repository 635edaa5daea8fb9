//! A panic or interference of the application's code during a write only costs its own signal.

use super::driver::{FLUSHED, Function, Own};
use crate::export::losses::Loss;
use crate::state::completion::TelemetryCompletionHandler;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

#[test]
fn a_panicking_processor_flush_is_counted_and_loses_no_lines() {
    let panics = Own(|call: String| assert_ne!(call, FLUSHED));
    let function = Function::with(&[], |config| config.with_additional_span_processor(panics));
    function.invoke_with_all_signals();
    let written = function.written();
    let lost = written.metrics.iter().filter(|metric| metric.name != "orders").count();
    assert_eq!((written.counts(), lost), ([3, 2, 1, 2], 1));
    assert_eq!(function.lost(Loss::Panicked), [1, 0, 0]);
}

#[test]
fn a_panicking_metric_callback_loses_only_metrics() {
    let function = Function::new();
    let meter = function.completion.meter("test");
    let _gauge = meter.u64_observable_gauge("stock").with_callback(|_| panic!("callback")).build();
    function.invoke_with_all_signals();
    assert_eq!(function.written().counts(), [2, 2, 1, 0]);
    assert_eq!(function.lost(Loss::Panicked), [0, 1, 0]);
}

#[test]
fn a_second_metrics_flush_fails_while_the_first_is_written_and_lines_can_be_encoded() {
    // Flushes the metrics during their write, like the thread that watches the deadline.
    let completion = Arc::new(OnceLock::<TelemetryCompletionHandler>::new());
    let second = Arc::new(Mutex::new(Vec::new()));
    let of_gate = Arc::clone(&completion);
    let results = Arc::clone(&second);
    let function = Function::with_gate(&[], move |_| {
        let completion = of_gate.get().unwrap();
        let flushed = completion.meter_provider().force_flush();
        results.lock().unwrap().push((flushed, completion.telemetry.line.is_encoding()));
        Ok(())
    });
    function.completion.meter("test").u64_counter("orders").build().add(1, &[]);
    completion.set(function.completion.clone()).unwrap();
    let in_a_moment = std::time::UNIX_EPOCH + Duration::from_millis(super::driver::NOW_MS + 20);
    function.completion.telemetry.begin(in_a_moment);
    function.completion.complete();
    assert_eq!(function.output.take_lines().len(), 1);
    let second = second.lock().unwrap();
    assert!(matches!(second[..], [(Err(_), false)]), "{second:?}");
}
