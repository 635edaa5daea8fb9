//! Writes telemetry if a panic aborts the process (`panic = "abort"` in the profile, which makes binaries smaller): without
//! unwinding no span ends by itself.

use super::invocation_span::describe;
use super::outcome::HandlerOutcome;
use crate::processor::end_attributes::ending;
use crate::processor::open_spans::{CutOff, Roots};
use crate::telemetry::Telemetry;
use crate::telemetry::bounded::within;
use crate::telemetry::running::RunningInvocation;
use opentelemetry::trace::TraceContextExt as _;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// Adds the write to the process's panic hook, after the existing one.
pub(crate) fn write_before_abort(telemetry: &Arc<Telemetry>) {
    let telemetry: Weak<Telemetry> = Arc::downgrade(telemetry);
    let is_writing = AtomicBool::new(false);
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        before(info);
        // A panic of the write itself is not written.
        if let Some(telemetry) = telemetry.upgrade()
            && !is_writing.swap(true, Ordering::Relaxed)
        {
            end_all(&telemetry, &HandlerOutcome::of_panic(info.payload()));
        }
    }));
}

/// Ends all running invocations and writes the telemetry in another thread, because this one may hold a lock that the write
/// needs. Waits as long as for any write.
pub(crate) fn end_all(telemetry: &Arc<Telemetry>, outcome: &HandlerOutcome) {
    let (telemetry, outcome) = (Arc::clone(telemetry), outcome.clone());
    let timeout = telemetry.signals.line.write_timeout();
    within(timeout, move || {
        let running = telemetry.running.take();
        for RunningInvocation { context, .. } in &running {
            let keys = describe(context, &telemetry.facts, &outcome);
            let span = context.span();
            ending(span.span_context().span_id(), keys, || span.end());
        }
        let roots = running.iter().map(|own| own.context.span().span_context().clone());
        let roots = Roots { cut_off: roots.collect(), ..Roots::default() };
        telemetry.signals.write_open(&roots, CutOff::PANIC);
        telemetry.write(running.iter().filter_map(|invocation| invocation.record));
    });
}
