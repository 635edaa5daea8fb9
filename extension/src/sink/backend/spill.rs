//! Writes requests that the backend did not accept to stdout, as OTLP lines with the key `spill`.

use super::buffer::SharedBuffer;
use crate::counts::Counts;
use crate::sink::lines::LineOutput;
use crate::sink::lines::backlog::Backlog;
use crate::tasks;
use std::mem;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::Request;

/// The size of a spilled request. Its lines have at most this many bytes before compression.
const SPILLED_BYTES: usize = 256 * 1024;
/// While this many spilled bytes are not written, the extension accepts no further telemetry events. Lambda keeps them.
const MOST_UNWRITTEN: usize = 1 << 20;
/// Time limit for the lines of [`spill_rest`].
const REST_TIMEOUT: Duration = Duration::from_secs(1);

/// Moves requests from the buffer to stdout.
pub(super) struct Spill {
    buffer: SharedBuffer,
    lines: Backlog,
}

impl Spill {
    pub(super) fn new(buffer: &SharedBuffer, output: &LineOutput, counts: &Arc<Counts>) -> Self {
        let lines = Backlog::spilled(output.clone(), Arc::clone(counts));
        Self { buffer: Arc::clone(buffer), lines }
    }

    /// Spills a request that the buffer did not accept.
    pub(super) fn put(&mut self, request: Request) {
        self.lines.write(merge(vec![request]));
    }

    /// Spills requests with more attempts than this, once the queue has room for them.
    pub(super) fn tried(&mut self, most_attempts: u32) {
        self.lines.write(Vec::new());
        if !self.lines.is_behind() {
            self.lines.write(merge(self.buffer.remove_tried(most_attempts)));
        }
    }

    /// Spills all waiting requests. Those whose content is in no log come first, because the others may be megabytes.
    pub(super) fn all(&mut self) {
        self.lines.write(merge(self.buffer.remove_otlp()));
        self.lines.write(merge(self.buffer.remove_all()));
    }

    /// Returns `true` if too many spilled bytes are not written.
    pub(super) fn is_behind(&self) -> bool {
        self.lines.bytes() > MOST_UNWRITTEN
    }

    /// Waits until queued requests are written, for at most `limit`.
    pub(super) async fn wait_written(&mut self, limit: Duration) {
        self.lines.wait_written(limit).await;
    }

    /// Spills all requests, present and future, and writes as much as possible until `end`.
    pub(super) async fn finish(&mut self, end: Instant) {
        self.buffer.close();
        self.all();
        self.lines.drain(end).await;
    }

    /// Counts the unwritten requests as lost.
    pub(super) async fn give_up(&mut self) {
        self.lines.give_up().await;
    }
}

/// Spills the rest of a buffer after the end of the loop.
pub(crate) async fn spill_rest(buffer: &SharedBuffer, output: &LineOutput, counts: &Arc<Counts>) {
    Spill::new(buffer, output, counts).finish(Instant::now() + REST_TIMEOUT).await;
}

/// Merges requests in groups of [`SPILLED_BYTES`]. A group whose merge panics stays unmerged.
pub(super) fn merge(requests: Vec<Request>) -> Vec<Request> {
    let (mut merged, mut group, mut bytes) = (Vec::new(), Vec::new(), 0);
    for request in requests {
        let len = request.bytes().len();
        if bytes + len > SPILLED_BYTES {
            merged.extend(merge_group(mem::take(&mut group)));
            bytes = 0;
        }
        bytes += len;
        group.push(request);
    }
    merged.extend(merge_group(group));
    merged
}

fn merge_group(group: Vec<Request>) -> Vec<Request> {
    tasks::catch(|| wire::merge(group.clone(), SPILLED_BYTES)).unwrap_or(group)
}
