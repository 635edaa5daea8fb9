//! Compact lines.

use super::driver::{COMPACT, DELIVERY, FLUSHED, Function, Own, Records, Written};
use crate::export::losses::Loss;
use crate::state::completion::TelemetryCompletionHandler;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use wire::compact::Context;
use wire::{Limits, read_line_of};

#[test]
fn the_signals_of_an_invocation_share_a_line() {
    let function = Function::with_variables(&COMPACT);
    for _ in 0..2 {
        function.invoke_with_all_signals();
        let written = function.written();
        assert_eq!(written.counts(), [1, 2, 1, 1]);
        let child = written.span_named("child");
        let record = &written.logs[0];
        assert_eq!((&record.span_id, &record.trace_id), (&child.span_id, &child.trace_id));
        assert_eq!(child.parent_span_id, written.span_named("orders").span_id);
        let line = &written.lines[0];
        let of_another = Context { account: "210987654321", ..DELIVERY };
        let misread = read_line_of(line, &of_another, &Limits::default()).unwrap();
        assert_eq!(misread.undecodable.len(), 1, "the account is left out");
        let reading = read_line_of(line, &DELIVERY, &Limits::default()).unwrap();
        let decoded = String::from_utf8_lossy(reading.decoded[0].bytes());
        for name in [DELIVERY.function, DELIVERY.account, DELIVERY.log_stream] {
            assert!(!line.contains(name) && decoded.contains(name), "{name}: {line}");
        }
    }
    let standard = Function::new();
    standard.invoke_with_all_signals();
    assert_eq!(standard.written().counts(), [3, 2, 1, 1]);
}

#[test]
fn compact_lines_omit_only_names_known_from_the_delivery() {
    let check = |variables: &[(&str, &str)], known: Context<'_>| {
        let function = Function::with_variables(variables);
        function.invoke_with_all_signals();
        for line in function.output.take_lines() {
            let reading = read_line_of(&line, &known, &Limits::default()).unwrap();
            assert_eq!((reading.decoded.len(), reading.undecodable.len()), (3, 0), "{known:?}");
        }
    };
    let unknown_stream = Context { log_stream: "", ..DELIVERY };
    check(&COMPACT, DELIVERY);
    check(&COMPACT[..3], unknown_stream);
    // A reader may derive another name from the name of a custom log group.
    let custom = [COMPACT[0], ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/shop"), COMPACT[3]];
    check(&custom, Context { function: "shop", ..DELIVERY });
    // Our extension reads the function's lines in direct mode, and Lambda hides the log stream from it.
    let records = Records::new("compact");
    check(&[&COMPACT[..], &[records.variable()]].concat(), unknown_stream);
}

#[test]
fn a_failed_compact_line_is_counted_per_signal() {
    let writes = AtomicU64::new(0);
    let function =
        Function::with_gate(&COMPACT, move |_| match writes.fetch_add(1, Ordering::Relaxed) {
            0 => Err(io::ErrorKind::BrokenPipe.into()),
            1 => panic!("output"),
            _ => Ok(()),
        });
    for (loss, lost_before) in [(Loss::OutputFailed, 0), (Loss::Panicked, 3)] {
        function.invoke_with_all_signals();
        let items = [2, 1 + lost_before, 1];
        assert_eq!(function.lost(loss), items, "{loss:?}");
    }
    function.invoke_with_all_signals();
    let [lines, spans, logs, _] = function.written().counts();
    assert_eq!([lines, spans, logs], [1, 2, 1]);
}

#[test]
fn a_flush_within_a_flush_loses_nothing() {
    let again = Arc::new(Mutex::new(None::<TelemetryCompletionHandler>));
    let own = Arc::clone(&again);
    let processor = Own(move |call: String| {
        let completion = own.lock().unwrap().take_if(|_| call == FLUSHED);
        completion.inspect(TelemetryCompletionHandler::complete);
    });
    let function =
        Function::with(&COMPACT, |config| config.with_additional_span_processor(processor));
    *again.lock().unwrap() = Some(function.completion.clone());
    function.invoke_with_all_signals();
    assert_eq!(function.written().counts(), [1, 2, 1, 1]);
    function.invoke_with_all_signals();
    assert_eq!(function.written().counts(), [1, 2, 1, 1]);
}

#[test]
fn a_hanging_metric_callback_delays_only_metrics() {
    let function = Function::with_variables(&COMPACT);
    let (hangs, is_hanging) = sync_channel::<()>(0);
    let (release, released) = sync_channel::<()>(0);
    let released = Mutex::new(released);
    let _gauge = function
        .completion
        .meter("test")
        .u64_observable_gauge("stock")
        .with_callback(move |_| {
            if hangs.send(()).is_ok() {
                released.lock().unwrap().recv().unwrap();
            }
        })
        .build();
    let watch = function.watch();
    let watcher = std::thread::spawn(move || {
        is_hanging.recv().unwrap();
        assert_eq!(watch(0), [""; 0]);
        let lines = watch(2900);
        release.send(()).unwrap();
        lines
    });
    function.invoke_with_all_signals();
    assert_eq!(Written::read(watcher.join().unwrap()).counts(), [2, 2, 1, 0]);
}
