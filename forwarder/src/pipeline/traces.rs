//! Reads the traces of an event before its first request is forwarded, for rules about whole traces.
//!
//! The event is converted twice. Keeping its requests until the last one is converted would need up to 256 MiB.

use super::{Forwarder, Forwarding, caught};
use crate::convert::{StreamState, convert};
use crate::invocation::InvocationContext;
use crate::rules::TraceReading;
use crate::source::{Batches, LogBatch, SourceLimits};

impl<E, Q> Forwarding<'_, E, Q> {
    /// Reads the traces if a rule asks about them.
    pub(super) fn read_traces<'b>(&mut self, batches: impl FnOnce(&SourceLimits) -> Batches<'b>) {
        self.traces = None;
        let forwarder = self.forwarder;
        let Some(reading) = forwarder.rules.trace_reading() else { return };
        let mut event = EventReading {
            forwarder,
            invocation: self.invocation,
            stream: StreamState::default(),
            reading,
        };
        // Forwarding reports unreadable parts and panics.
        let begun = caught(|| batches(&forwarder.options.source));
        let mut batches = begun.into_iter().flatten();
        while let Some(Some(batch)) = caught(|| batches.next()) {
            if let Ok(batch) = batch {
                event.batch(batch);
            }
        }
        event.end_stream();
        let traces = event.reading.finish();
        self.report.warnings.extend(traces.warning());
        self.traces = Some(traces);
    }
}

struct EventReading<'f, E, Q> {
    forwarder: &'f Forwarder<E, Q>,
    invocation: &'f InvocationContext,
    stream: StreamState,
    reading: TraceReading,
}

impl<E, Q> EventReading<'_, E, Q> {
    fn batch(&mut self, mut batch: LogBatch) {
        batch.origin = batch.origin.or_region(self.forwarder.options.region.as_deref());
        if !self.stream.is_of(&batch.origin) {
            self.end_stream();
        }
        if !batch.is_control && !self.forwarder.is_own(&batch.origin, self.invocation) {
            self.log_events(&batch);
        }
    }

    fn end_stream(&mut self) {
        if let Some(batch) = self.stream.take_held() {
            self.log_events(&batch);
        }
        self.stream = self.stream.next_stream();
    }

    fn log_events(&mut self, batch: &LogBatch) {
        let Forwarder { rules, options, .. } = self.forwarder;
        let now = self.invocation.observed_unix_nano;
        let service_name = rules.service_name(&batch.origin);
        let mut events = batch.events.as_slice();
        while !events.is_empty() {
            let next = self.stream.next_stream();
            let state = std::mem::replace(&mut self.stream, next);
            let reading = &mut self.reading;
            let converted = caught(|| {
                let name = service_name.as_deref();
                let mut converted =
                    convert(&batch.origin, events, state, &options.convert, name, now);
                converted.requests.iter().for_each(|request| reading.add(request));
                converted.requests = Vec::new();
                converted
            });
            let Some(converted) = converted else { return };
            self.stream = converted.state;
            events = events.get(converted.taken.max(1)..).unwrap_or_default();
        }
    }
}
