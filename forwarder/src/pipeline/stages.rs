//! The three stages of one event: convert log events, route the requests, and flush them to destinations and queues.

use super::flusher::Flusher;
use super::router::{Router, Routing};
use crate::convert::{ConvertOptions, Converted, StreamState, convert};
use crate::delivery::destination::Export;
use crate::queues::Queue;
use crate::source::{HandOn, LogBatch, LogEvent, SourceError, SourceLimits};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::mpsc;

/// The stages of one event. Batches of log events go down through them; the flusher has the report at the end.
pub(super) struct Stages<'f, E, Q> {
    pub(super) limits: SourceLimits,
    pub(super) options: &'f ConvertOptions,
    pub(super) observed_unix_nano: u64,
    /// The state of the current log stream.
    pub(super) stream: StreamState,
    pub(super) router: Router<'f, E>,
    pub(super) flusher: Flusher<'f, E, Q>,
}

impl<E: Export, Q: Queue> Stages<'_, E, Q> {
    /// Reads all batches on this thread, then forwards them. For small events: passing them between threads takes longer
    /// than reading them.
    pub(super) async fn read_at_once(
        &mut self,
        read: impl FnOnce(&SourceLimits, HandOn<'_>) -> Result<(), SourceError>,
    ) -> Option<SourceError> {
        let mut batches = Vec::new();
        let limits = self.limits;
        let reading = AssertUnwindSafe(|| {
            read(&limits, &mut |batch| {
                batches.push(batch);
                true
            })
        });
        let read = catch_unwind(reading).unwrap_or(Err(SourceError::Panicked));
        for batch in batches {
            self.forward(batch, false).await;
        }
        self.end_stream(false).await;
        read.err()
    }

    /// Reads batches on another thread and forwards them meanwhile.
    pub(super) async fn read_all<R>(&mut self, read: R) -> Option<SourceError>
    where
        R: FnOnce(&SourceLimits, HandOn<'_>) -> Result<(), SourceError> + Send + 'static,
    {
        // One batch waits while another is delivered. A large event therefore needs memory for three.
        let (hand_on, mut batches) = mpsc::channel(1);
        let limits = self.limits;
        let reading = tokio::task::spawn_blocking(move || {
            read(&limits, &mut |batch| hand_on.blocking_send(batch).is_ok())
        });
        while let Some(batch) = batches.recv().await {
            self.forward(batch, false).await;
        }
        self.end_stream(false).await;
        match reading.await {
            Ok(read) => read.err(),
            Err(_) => Some(SourceError::Panicked),
        }
    }

    /// Forwards log events from a message of the retry queue.
    pub(super) async fn forward_redriven(&mut self, batch: LogBatch) {
        self.forward(batch, true).await;
        self.end_stream(true).await;
    }

    /// Forwards one batch. If it belongs to another log stream, the previous stream ends.
    async fn forward(&mut self, batch: LogBatch, is_redriven: bool) {
        let batch = self.router.with_region(batch);
        if !self.stream.is_of(&batch.origin) {
            self.end_stream(is_redriven).await;
        }
        match self.router.consume(&batch, &mut self.flusher.report) {
            Some(ledger) => self.flusher.report.account.total += ledger,
            None => self.forward_log_events(&batch, is_redriven).await,
        }
    }

    /// Converts the log events that wait for the end of their line.
    async fn end_stream(&mut self, is_redriven: bool) {
        if let Some(batch) = self.stream.take_held() {
            self.forward_log_events(&batch, is_redriven).await;
        }
        // The limits on the event still count the lines of this stream.
        self.stream = self.stream.next_stream();
    }

    async fn forward_log_events(&mut self, batch: &LogBatch, is_redriven: bool) {
        self.flusher.report.note_oldest(batch);
        let routing = self.router.route(batch, is_redriven);
        // Each route has its own copy of the requests until they are delivered.
        let most_bytes = match routing.routes() {
            0 | 1 => usize::MAX,
            routes => self.limits.chunk_bytes / routes,
        };
        let mut events = batch.events.as_slice();
        loop {
            let chunk = first_of(events, most_bytes);
            let taken = self.forward_chunk(batch, chunk, &routing).await;
            events = events.get(taken.max(1)..).unwrap_or_default();
            self.flusher.flush_if_full().await;
            if events.is_empty() {
                return;
            }
        }
    }

    /// Forwards the first log events of `chunk` and returns their number. If that panics, the whole chunk is dead-lettered.
    async fn forward_chunk(
        &mut self,
        batch: &LogBatch,
        chunk: &[LogEvent],
        routing: &Routing,
    ) -> usize {
        let held = self.stream.held().to_vec();
        if let Some(converted) = self.convert_and_route(batch, chunk, routing).await {
            let taken = converted.taken;
            self.flusher.note_converted(converted, batch, routing);
            return taken;
        }
        self.stream = self.stream.next_stream();
        let events = [&held, chunk].concat();
        self.flusher.dead_letter_panicked(LogBatch { events, ..batch.without_events() }, routing);
        chunk.len()
    }

    /// Returns `None` if converting, a rule or the adaptation to a destination panicked: all three read untrusted content.
    async fn convert_and_route(
        &mut self,
        batch: &LogBatch,
        chunk: &[LogEvent],
        routing: &Routing,
    ) -> Option<Converted> {
        let Self { options, observed_unix_nano, stream, router, flusher, .. } = self;
        let next = stream.next_stream();
        let state = std::mem::replace(stream, next);
        let service_name = routing.service_name.as_deref();
        let converting = AssertUnwindSafe(|| {
            convert(&batch.origin, chunk, state, options, service_name, *observed_unix_nano)
        });
        let mut converted = catch_unwind(converting).ok()?;
        *stream = std::mem::take(&mut converted.state);
        let requests = std::mem::take(&mut converted.requests);
        let service_name = std::mem::take(&mut converted.service_name);
        let mut routed = router.requests(routing, requests, &service_name);
        while let Some(part) = catch_unwind(AssertUnwindSafe(|| routed.next())).ok()? {
            flusher.add(part).await;
        }
        Some(converted)
    }
}

/// Returns the first log events with about `most_bytes` of messages, at least one.
fn first_of(events: &[LogEvent], most_bytes: usize) -> &[LogEvent] {
    let mut bytes = 0_usize;
    let end = events.iter().position(|event| {
        let is_end = bytes >= most_bytes;
        bytes = bytes.saturating_add(event.message.len());
        is_end
    });
    end.and_then(|end| events.get(..end.max(1))).unwrap_or(events)
}
