//! Writes what there is where a panic ends the process at once (`panic = "abort"` in the profile, which makes binaries smaller):
//! nothing unwinds there, and no span ends by itself.

use super::invocation_span::describe;
use super::outcome::HandlerOutcome;
use crate::processor::end_attributes::ending;
use crate::telemetry::Telemetry;
use crate::telemetry::running::RunningInvocation;
use opentelemetry::trace::TraceContextExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Weak};
use std::{panic, thread};

/// Adds the writing to the process's panic hook, behind the one that is there.
pub(crate) fn write_before_abort(telemetry: &Arc<Telemetry>) {
    let telemetry: Weak<Telemetry> = Arc::downgrade(telemetry);
    let is_writing = AtomicBool::new(false);
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        before(info);
        // A panic of the writing itself is not written.
        if let Some(telemetry) = telemetry.upgrade()
            && !is_writing.swap(true, Ordering::Relaxed)
        {
            end_all(&telemetry, &HandlerOutcome::of_panic(info.payload()));
        }
    }));
}

/// Ends all running invocations, and writes the telemetry. Another thread does, for which this one waits as long as for any
/// write: this one may hold a lock that the writing needs.
pub(crate) fn end_all(telemetry: &Arc<Telemetry>, outcome: &HandlerOutcome) {
    let (telemetry, outcome) = (Arc::clone(telemetry), outcome.clone());
    let timeout = telemetry.signals.line.write_timeout();
    let (is_done, done) = sync_channel(1);
    let write = move || {
        let running = telemetry.running.take();
        for RunningInvocation { context, .. } in &running {
            let keys = describe(context, &telemetry.facts, outcome.clone());
            let span = context.span();
            ending(span.span_context().span_id(), keys, || span.end());
        }
        telemetry.signals.flush(|| {
            for record in running.iter().filter_map(|invocation| invocation.record) {
                telemetry.facts.root_record.is_written(record);
            }
        });
        // Nobody waits any more where the timeout is over.
        is_done.send(()).ok();
    };
    if thread::Builder::new().name("otlp-abort".to_owned()).spawn(write).is_ok() {
        done.recv_timeout(timeout).ok();
    }
}
