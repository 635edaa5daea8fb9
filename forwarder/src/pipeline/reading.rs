//! Reads a part of an event: its batches, in the order of their log streams, converted chunk by chunk.

use super::{Forwarder, Panicked, catch_panic};
use crate::convert::{Converted, StreamState, convert};
use crate::invocation::InvocationContext;
use crate::source::{
    Batches, Event, KinesisRecord, LogBatch, LogEvent, SourceError, SourceLimits, failed,
};
use std::collections::VecDeque;
use std::sync::Arc;

/// A part of an event. Lambda wants the records of a Kinesis stream answered one by one.
pub(super) enum EventPart<'e> {
    Whole(&'e Event),
    Record(&'e KinesisRecord),
    /// Log events from a queue.
    Queued(&'e LogBatch),
}

impl<'e> EventPart<'e> {
    pub(super) fn all_of(event: &'e Event) -> Vec<Self> {
        match event {
            Event::Kinesis(records) => records.iter().map(Self::Record).collect(),
            _ => vec![Self::Whole(event)],
        }
    }

    fn batches(&self, limits: &SourceLimits) -> Batches<'e> {
        match *self {
            Self::Whole(event) => event.batches(limits),
            Self::Record(record) => record.batches(limits),
            Self::Queued(batch) => Box::new(std::iter::once(Ok(batch.clone()))),
        }
    }
}

/// What the reading of a part finds.
pub(super) enum Read {
    Chunk(Chunk),
    /// A batch that is not forwarded: control messages, or the delivery path's own log events.
    Unforwarded(LogBatch),
    Unreadable(SourceError),
}

impl Read {
    /// Size of the log events and of what they were converted to.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Chunk(chunk) => {
                // A batch counts with its first chunk.
                let events = if chunk.position == 0 { bytes_of(&chunk.batch.events) } else { 0 };
                let converted = &chunk.converted;
                let decoded = converted.as_ref().map_or(0, |converted| converted.decoded_bytes);
                events + bytes_of(&chunk.held) + decoded
            }
            Self::Unforwarded(batch) => bytes_of(&batch.events),
            Self::Unreadable(_) => 0,
        }
    }
}

fn bytes_of(events: &[LogEvent]) -> usize {
    events.iter().map(LogEvent::bytes).sum()
}

/// Log events that were converted together.
pub(super) struct Chunk {
    pub(super) batch: Arc<LogBatch>,
    /// The position of the first log event in the batch.
    pub(super) position: usize,
    /// Earlier log events of a line that ends in this chunk.
    pub(super) held: Vec<LogEvent>,
    pub(super) converted: Result<Box<Converted>, Panicked>,
}

impl Chunk {
    /// The held log events, and those of the batch from this chunk on.
    pub(super) fn unforwarded_events(&self) -> Vec<LogEvent> {
        let rest = self.batch.events.get(self.position..).unwrap_or_default();
        [self.held.as_slice(), rest].concat()
    }
}

/// The reading of a part. A chunk is converted when it is asked for.
pub(super) struct Reading<'f, 'b, E, Q> {
    forwarder: &'f Forwarder<E, Q>,
    invocation: &'f InvocationContext,
    /// `None` at the end of the part.
    batches: Option<Batches<'b>>,
    /// The state of the current log stream.
    stream: StreamState,
    current: Option<CurrentBatch>,
    /// The batch after the end of the current stream.
    next: Option<LogBatch>,
}

/// A batch with log events that are not converted yet.
struct CurrentBatch {
    batch: Arc<LogBatch>,
    service_name: Option<String>,
    /// The position of the next log event to convert.
    position: usize,
    ends_stream: bool,
}

impl<'f, 'b, E, Q> Reading<'f, 'b, E, Q> {
    /// Begins to read. `stream` has the counts of the event's earlier parts.
    pub(super) fn begin(
        forwarder: &'f Forwarder<E, Q>,
        invocation: &'f InvocationContext,
        stream: StreamState,
        part: &EventPart<'b>,
    ) -> Self {
        let begun = catch_panic(|| part.batches(&forwarder.options.source));
        let batches = begun.unwrap_or_else(|Panicked| failed(SourceError::panicked()));
        let batches = Some(batches);
        Self { forwarder, invocation, batches, stream, current: None, next: None }
    }

    pub(super) fn next(&mut self) -> Option<Read> {
        loop {
            if let Some(current) = self.current.take() {
                return Some(Read::Chunk(self.convert_chunk(current)));
            }
            if let Some(batch) = self.next.take() {
                if batch.is_control || self.forwarder.is_own(&batch.origin, self.invocation) {
                    return Some(Read::Unforwarded(batch));
                }
                self.begin_batch(batch, false);
                continue;
            }
            let batches = self.batches.as_mut()?;
            match catch_panic(|| batches.next()) {
                Ok(Some(Ok(mut batch))) => {
                    batch.origin = batch.origin.or_region(self.forwarder.options.region.as_deref());
                    if !self.stream.continues_with(&batch.origin) {
                        self.end_stream();
                    }
                    self.next = Some(batch);
                }
                Ok(Some(Err(error))) => return Some(Read::Unreadable(error)),
                Ok(None) => self.end(),
                Err(Panicked) => {
                    self.end();
                    return Some(Read::Unreadable(SourceError::panicked()));
                }
            }
        }
    }

    /// The state after the part, for the next one.
    pub(super) fn into_stream(self) -> StreamState {
        self.stream
    }

    fn begin_batch(&mut self, batch: LogBatch, ends_stream: bool) {
        let service_name = self.forwarder.rules.service_name(&batch.origin);
        let batch = Arc::new(batch);
        self.current = Some(CurrentBatch { batch, service_name, position: 0, ends_stream });
    }

    fn end(&mut self) {
        self.batches = None;
        self.end_stream();
    }

    /// Ends the stream, after the log events that wait for the end of their line.
    fn end_stream(&mut self) {
        match self.stream.end() {
            Some(batch) => self.begin_batch(batch, true),
            None => self.begin_stream(),
        }
    }

    /// The limits on the event still count the lines of the streams before.
    fn begin_stream(&mut self) {
        self.stream = self.stream.next_stream();
    }

    fn convert_chunk(&mut self, current: CurrentBatch) -> Chunk {
        let CurrentBatch { batch, service_name, position, ends_stream } = current;
        let held = self.stream.held().to_vec();
        let next = self.stream.next_stream();
        // A panic loses the state of the stream.
        let state = std::mem::replace(&mut self.stream, next);
        let events = batch.events.get(position..).unwrap_or_default();
        let options = &self.forwarder.options.convert;
        let now = self.invocation.observed_unix_nano;
        let name = service_name.as_deref();
        let mut converted =
            catch_panic(|| Box::new(convert(&batch.origin, events, state, options, name, now)));
        let end = match &mut converted {
            Ok(converted) => {
                self.stream = std::mem::take(&mut converted.state);
                position + converted.event_count.max(1)
            }
            Err(Panicked) => batch.events.len(),
        };
        if end < batch.events.len() {
            let batch = Arc::clone(&batch);
            self.current = Some(CurrentBatch { batch, service_name, position: end, ends_stream });
        } else if ends_stream {
            self.begin_stream();
        }
        Chunk { batch, position, held, converted }
    }
}

/// The reads of a part: to come, or kept from an earlier reading.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum Reads<'f, 'b, E, Q> {
    ToCome(Reading<'f, 'b, E, Q>),
    Kept(VecDeque<Read>),
}

impl<E, Q> Reads<'_, '_, E, Q> {
    pub(super) fn next(&mut self) -> Option<Read> {
        match self {
            Self::ToCome(reading) => reading.next(),
            Self::Kept(reads) => reads.pop_front(),
        }
    }

    /// Skips the other chunks of this batch.
    pub(super) fn skip_batch(&mut self, skipped: &Arc<LogBatch>) {
        match self {
            Self::ToCome(reading) => {
                reading.current = None;
                reading.begin_stream();
            }
            Self::Kept(reads) => {
                let is_skipped = |read: &Read| matches!(read, Read::Chunk(chunk) if Arc::ptr_eq(&chunk.batch, skipped));
                while reads.front().is_some_and(is_skipped) {
                    reads.pop_front();
                }
            }
        }
    }
}
