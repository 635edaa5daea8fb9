//! Reads the traces of an event before its first request is forwarded, for rules about whole traces.

use super::reading::{EventPart, Read, Reading};
use super::{Forwarding, catch_panic};
use crate::convert::StreamState;
use crate::delivery::destination::Export;
use crate::queues::Queue;
use std::collections::VecDeque;
use std::sync::Arc;

impl<E: Export, Q: Queue> Forwarding<'_, E, Q> {
    /// Reads the traces of an event or a message, if a rule asks about them. Keeps what it read, so that it isn't converted again.
    pub(super) fn read_traces(&mut self, parts: &[EventPart<'_>]) {
        let Some(mut traces) = self.forwarder.rules.trace_reading() else { return };
        let mut stream = StreamState::with_recent(Arc::clone(&self.forwarder.recent));
        let mut kept = KeptReads::with_room(self.forwarder.options.kept_bytes);
        for part in parts {
            let mut reading = Reading::begin(self.forwarder, self.invocation, stream, part);
            kept.begin_part();
            while let Some(read) = reading.next() {
                if let Read::Chunk(chunk) = &read
                    && let Ok(converted) = &chunk.converted
                {
                    // The rules read the requests again, and dead-letter the chunk if that panics too.
                    let _panicked = catch_panic(|| {
                        converted.requests.iter().for_each(|request| traces.add(request));
                    });
                }
                kept.add(read);
            }
            stream = reading.into_stream();
        }
        self.kept_reads = kept.finish();
        let traces = traces.finish();
        self.outbox.report.warnings.extend(traces.warning());
        self.traces = Some(traces);
    }
}

/// The reads of an event, if they fit into the memory.
struct KeptReads {
    parts: VecDeque<VecDeque<Read>>,
    /// The room that is left; `None` if they don't fit.
    room: Option<usize>,
}

impl KeptReads {
    fn with_room(bytes: usize) -> Self {
        Self { parts: VecDeque::new(), room: Some(bytes) }
    }

    fn begin_part(&mut self) {
        self.parts.push_back(VecDeque::new());
    }

    fn add(&mut self, read: Read) {
        self.room = self.room.and_then(|room| room.checked_sub(read.bytes()));
        if self.room.is_none() {
            self.parts.clear();
        } else if let Some(part) = self.parts.back_mut() {
            part.push_back(read);
        }
    }

    /// The reads of all parts, or none.
    fn finish(self) -> VecDeque<VecDeque<Read>> {
        self.room.map(|_| self.parts).unwrap_or_default()
    }
}
