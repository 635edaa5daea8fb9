//! Requests to write to stdout whose senders do not wait: the extension's own telemetry, spans of X-Ray's documents, and requests
//! that the backend did not accept.

use super::LineOutput;
use crate::counts::{Count, Counts};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use wire::Request;

/// Time limit for the current line when the others are given up.
const LAST_LINE_TO_COUNT: Duration = Duration::from_millis(50);
/// The size of a group of spilled requests, which share lines.
const SPILLED_BYTES: usize = 256 * 1024;
/// While more bytes are not written, the extension leaves further events to Lambda.
const MAX_UNWRITTEN_BYTES: usize = 1 << 20;

/// While this many groups wait for the queue, [`Backlog::write_or_drop`] drops requests.
const MAX_WAITING_GROUPS: usize = 64;
/// While more bytes are not written, [`Backlog::write_or_drop`] drops requests.
const MAX_WAITING_BYTES: usize = 4 * MAX_UNWRITTEN_BYTES;

/// Requests that are not known to be written: in the queue of the thread that writes lines, or waiting for room in it.
pub(crate) struct Backlog {
    output: LineOutput,
    spill: bool,
    counts: Arc<Counts>,
    /// Groups of requests that did not fit the queue.
    unqueued: Vec<Vec<Request>>,
    queued: Vec<QueuedGroup>,
}

/// A group of requests in the queue.
struct QueuedGroup {
    items: usize,
    bytes: usize,
    /// Gets the number of items too large for a line when the lines are written; closed if that failed.
    written: oneshot::Receiver<usize>,
}

impl QueuedGroup {
    /// Waits until the group is written. Returns the number of its items that are in no line.
    async fn lost_items(&mut self) -> usize {
        (&mut self.written).await.unwrap_or(self.items)
    }

    /// Returns the number of items that are in no line; `None` if the group may still be written.
    fn try_lost_items(&mut self) -> Option<usize> {
        match self.written.try_recv() {
            Ok(too_large_items) => Some(too_large_items),
            Err(TryRecvError::Closed) => Some(self.items),
            Err(TryRecvError::Empty) => None,
        }
    }
}

impl Backlog {
    pub(crate) fn new(output: LineOutput, counts: Arc<Counts>, spill: bool) -> Self {
        Self { output, spill, counts, unqueued: Vec::new(), queued: Vec::new() }
    }

    /// Adds the extension's own telemetry or X-Ray's spans, or drops them if too much waits.
    pub(crate) fn write_or_drop(&mut self, requests: Vec<Request>) {
        // Lines written since the last time left room.
        self.fill_queue();
        if self.unqueued.len() >= MAX_WAITING_GROUPS || self.unwritten_bytes() > MAX_WAITING_BYTES {
            self.counts.add(Count::PlatformLost, items(&requests));
        } else {
            self.write(requests);
        }
    }

    /// Adds requests, which may share a line, and moves as many as possible to the queue.
    pub(crate) fn write(&mut self, requests: Vec<Request>) {
        if self.spill {
            self.unqueued.extend(groups(requests));
        } else if !requests.is_empty() {
            self.unqueued.push(requests);
        }
        self.fill_queue();
    }

    /// Forgets the groups that were written meanwhile, and moves waiting ones to the queue.
    pub(crate) fn fill_queue(&mut self) {
        let lost_count = self.lost_count();
        self.queued.retain_mut(|group| match group.try_lost_items() {
            Some(items) => {
                note_lost(&self.counts, lost_count, items);
                false
            }
            None => true,
        });
        let mut waiting = std::mem::take(&mut self.unqueued).into_iter();
        for group in waiting.by_ref() {
            let items = items(&group);
            let bytes = bytes(&group);
            match self.output.queue(group, self.spill) {
                Ok(written) => self.queued.push(QueuedGroup { items, bytes, written }),
                Err(group) => {
                    self.unqueued.push(group);
                    break;
                }
            }
        }
        self.unqueued.extend(waiting);
    }

    /// Waits until the queued requests are written, for at most `limit`. Returns at once if the pipe is stuck.
    pub(crate) async fn wait_written(&mut self, limit: Duration) {
        if self.output.is_stuck() {
            return;
        }
        let lost_count = self.lost_count();
        let all = async {
            while let Some(group) = self.queued.last_mut() {
                note_lost(&self.counts, lost_count, group.lost_items().await);
                self.queued.pop();
            }
        };
        // Late requests stay in the queue.
        drop(tokio::time::timeout(limit, all).await);
    }

    /// Writes as much as possible until this time.
    pub(crate) async fn drain(&mut self, end: tokio::time::Instant) {
        while self.may_be_written() && tokio::time::Instant::now() < end {
            self.wait_written(end - tokio::time::Instant::now()).await;
            self.fill_queue();
        }
    }

    /// Returns `true` if too many bytes are not known to be written.
    pub(crate) fn is_full(&self) -> bool {
        self.unwritten_bytes() > MAX_UNWRITTEN_BYTES
    }

    fn unwritten_bytes(&self) -> usize {
        let unqueued = self.unqueued.iter().map(|group| bytes(group));
        let queued = self.queued.iter().map(|group| group.bytes);
        unqueued.chain(queued).sum()
    }

    /// Returns `true` if no group waits for room in the queue.
    pub(crate) fn is_all_queued(&self) -> bool {
        self.unqueued.is_empty()
    }

    fn lost_count(&self) -> Count {
        if self.spill { Count::SpillLost } else { Count::PlatformLost }
    }

    /// Returns `true` if there are groups that may still be written.
    fn may_be_written(&self) -> bool {
        let is_empty = self.queued.is_empty() && self.unqueued.is_empty();
        !is_empty && !self.output.is_stuck()
    }

    /// Counts the unwritten requests as lost, and lets no further line begin if there are any.
    pub(crate) async fn give_up(&mut self) {
        if self.may_be_written() {
            self.output.end(LAST_LINE_TO_COUNT).await;
        }
        let unqueued: usize = self.unqueued.drain(..).map(|group| items(&group)).sum();
        let lost_of_group = |mut group: QueuedGroup| group.try_lost_items().unwrap_or(group.items);
        let queued: usize = self.queued.drain(..).map(lost_of_group).sum();
        self.counts.add(self.lost_count(), unqueued + queued);
    }
}

/// Divides requests into groups of up to [`SPILLED_BYTES`], each of which is written or lost as a whole.
fn groups(requests: Vec<Request>) -> Vec<Vec<Request>> {
    let mut groups = Vec::<Vec<Request>>::new();
    let mut bytes = 0;
    let parts = requests.into_iter().flat_map(|request| request.split_by_size(SPILLED_BYTES));
    for request in parts {
        bytes += request.bytes().len();
        match groups.last_mut() {
            Some(group) if bytes <= SPILLED_BYTES => group.push(request),
            _ => {
                bytes = request.bytes().len();
                groups.push(vec![request]);
            }
        }
    }
    groups
}

fn items(requests: &[Request]) -> usize {
    requests.iter().map(Request::items).sum()
}

fn bytes(requests: &[Request]) -> usize {
    requests.iter().map(|request| request.bytes().len()).sum()
}

/// Counts lost items. Acknowledged ones are logged at once, because the sum of all is logged only at the end of the environment.
fn note_lost(counts: &Counts, count: Count, items: usize) {
    counts.add(count, items);
    if items > 0 && matches!(count, Count::SpillLost) {
        tracing::error!(items, "items are lost: neither the backend nor stdout accepted them");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::SignalKind;

    #[test]
    fn spilled_requests_are_grouped_up_to_a_size() {
        let request = |kib: usize| Request::trusted(SignalKind::Logs, vec![0; kib << 10]);
        let sizes = [300, 100, 156, 1, 300, 255].map(request);
        let groups: Vec<usize> = groups(sizes.into()).iter().map(Vec::len).collect();
        assert_eq!(groups, [1, 2, 1, 1, 1]);
    }
}
