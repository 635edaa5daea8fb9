//! Reads the traces of an event before its first request is forwarded, for rules about whole traces.
//!
//! The event is converted twice. Keeping its requests until the last one is converted would need up to 256 MiB.

use super::{Forwarder, catch_panic};
use crate::convert::{StreamState, convert};
use crate::invocation::InvocationContext;
use crate::rules::{SeenTraces, TraceReading};
use crate::source::{Batches, LogBatch, SourceLimits};

impl<E, Q> Forwarder<E, Q> {
    /// Reads the traces of an event. `None` if no rule asks about them.
    pub(super) fn read_traces<'b>(
        &self,
        invocation: &InvocationContext,
        read_batches: impl FnOnce(&SourceLimits) -> Batches<'b>,
    ) -> Option<SeenTraces> {
        let traces = self.rules.trace_reading()?;
        let stream = StreamState::default();
        let mut event = EventReading { forwarder: self, invocation, stream, traces };
        // Forwarding reports unreadable parts and panics.
        let begun = catch_panic(|| read_batches(&self.options.source));
        let mut batches = begun.into_iter().flatten();
        while let Ok(Some(batch)) = catch_panic(|| batches.next()) {
            if let Ok(batch) = batch {
                event.read_batch(batch);
            }
        }
        event.end_stream();
        Some(event.traces.finish())
    }
}

/// The reading of one event.
struct EventReading<'f, E, Q> {
    forwarder: &'f Forwarder<E, Q>,
    invocation: &'f InvocationContext,
    /// The state of the current log stream.
    stream: StreamState,
    traces: TraceReading,
}

impl<E, Q> EventReading<'_, E, Q> {
    fn read_batch(&mut self, mut batch: LogBatch) {
        batch.origin = batch.origin.or_region(self.forwarder.options.region.as_deref());
        if !self.stream.continues_with(&batch.origin) {
            self.end_stream();
        }
        if !batch.is_control && !self.forwarder.is_own(&batch.origin, self.invocation) {
            self.read_log_events(&batch);
        }
    }

    fn end_stream(&mut self) {
        if let Some(batch) = self.stream.end() {
            self.read_log_events(&batch);
        }
        self.stream = self.stream.next_stream();
    }

    fn read_log_events(&mut self, batch: &LogBatch) {
        let Forwarder { rules, options, .. } = self.forwarder;
        let now = self.invocation.observed_unix_nano;
        let service_name = rules.service_name(&batch.origin);
        let mut events = batch.events.as_slice();
        while !events.is_empty() {
            let next = self.stream.next_stream();
            let state = std::mem::replace(&mut self.stream, next);
            let traces = &mut self.traces;
            let converted = catch_panic(|| {
                let name = service_name.as_deref();
                let mut converted =
                    convert(&batch.origin, events, state, &options.convert, name, now);
                converted.requests.iter().for_each(|request| traces.add(request));
                converted.requests = Vec::new();
                converted
            });
            let Ok(converted) = converted else { return };
            self.stream = converted.state;
            events = events.get(converted.event_count.max(1)..).unwrap_or_default();
        }
    }
}
