//! Requests to write to stdout whose senders do not wait: the extension's own telemetry, and requests that the backend did not
//! accept.

use super::LineOutput;
use crate::counts::{Count, Counts};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use wire::Request;

/// Time limit for the current line when the others are given up.
const LAST_LINE_TO_COUNT: Duration = Duration::from_millis(50);
/// The size of a group of spilled requests, which share lines.
const SPILLED_BYTES: usize = 256 * 1024;
/// While this many bytes are not written, the extension leaves further events to Lambda.
const MOST_UNWRITTEN: usize = 1 << 20;

/// While this many groups or bytes wait, the extension drops its own telemetry.
const MOST_OWN_GROUPS: usize = 64;
const MOST_OWN_BYTES: usize = 4 * MOST_UNWRITTEN;

/// Requests that wait for room in the queue, or are in it.
pub(crate) struct Backlog {
    output: LineOutput,
    spill: bool,
    counts: Arc<Counts>,
    /// Groups of requests that did not fit the queue.
    unwritten: Vec<Vec<Request>>,
    writing: Vec<Writing>,
}

struct Writing {
    items: usize,
    bytes: usize,
    written: oneshot::Receiver<usize>,
}

impl Backlog {
    pub(crate) fn new(output: LineOutput, counts: Arc<Counts>, spill: bool) -> Self {
        Self { output, spill, counts, unwritten: Vec::new(), writing: Vec::new() }
    }

    /// Adds the extension's own telemetry, unless too much waits.
    pub(crate) fn write_own(&mut self, requests: Vec<Request>) {
        // Lines written since the last time left room.
        self.fill_queue();
        if self.unwritten.len() >= MOST_OWN_GROUPS || self.unwritten_bytes() > MOST_OWN_BYTES {
            self.counts.add(Count::PlatformLost, items(&requests));
        } else {
            self.write(requests);
        }
    }

    /// Adds requests, which may share a line, and moves as many as possible to the queue.
    pub(crate) fn write(&mut self, requests: Vec<Request>) {
        if self.spill {
            self.unwritten.extend(groups(requests));
        } else if !requests.is_empty() {
            self.unwritten.push(requests);
        }
        self.fill_queue();
    }

    /// Notes the requests that were written meanwhile, and moves waiting ones to the queue.
    pub(crate) fn fill_queue(&mut self) {
        let lost_count = self.lost_count();
        self.writing.retain_mut(|Writing { items, written, .. }| match written.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => true,
            answered => {
                note_lost(&self.counts, lost_count, lost(*items, answered.ok()));
                false
            }
        });
        let mut waiting = std::mem::take(&mut self.unwritten).into_iter();
        for group in waiting.by_ref() {
            let items = items(&group);
            let bytes = bytes(&group);
            match self.output.queue(group, self.spill) {
                Ok(written) => self.writing.push(Writing { items, bytes, written }),
                Err(group) => {
                    self.unwritten.push(group);
                    break;
                }
            }
        }
        self.unwritten.extend(waiting);
    }

    /// Waits until the queued requests are written, for at most `limit`. Returns at once if the pipe is stuck.
    pub(crate) async fn wait_written(&mut self, limit: Duration) {
        if self.output.is_stuck() {
            return;
        }
        let lost_count = self.lost_count();
        let all = async {
            while let Some(Writing { items, written, .. }) = self.writing.last_mut() {
                let answered = written.await.ok();
                note_lost(&self.counts, lost_count, lost(*items, answered));
                self.writing.pop();
            }
        };
        // Late requests stay in the queue.
        drop(tokio::time::timeout(limit, all).await);
    }

    pub(crate) async fn drain(&mut self, end: tokio::time::Instant) {
        while self.is_worth_waiting_for() && tokio::time::Instant::now() < end {
            self.wait_written(end - tokio::time::Instant::now()).await;
            self.fill_queue();
        }
    }

    /// Returns `true` if too many bytes are not known to be written.
    pub(crate) fn is_full(&self) -> bool {
        self.unwritten_bytes() > MOST_UNWRITTEN
    }

    fn unwritten_bytes(&self) -> usize {
        let unwritten = self.unwritten.iter().map(|group| bytes(group));
        let writing = self.writing.iter().map(|writing| writing.bytes);
        unwritten.chain(writing).sum()
    }

    pub(crate) fn is_behind(&self) -> bool {
        !self.unwritten.is_empty()
    }

    fn lost_count(&self) -> Count {
        if self.spill { Count::SpillLost } else { Count::PlatformLost }
    }

    fn is_worth_waiting_for(&self) -> bool {
        !(self.writing.is_empty() && self.unwritten.is_empty() || self.output.is_stuck())
    }

    /// Counts the unwritten requests as lost, and lets no further line begin if there are any.
    pub(crate) async fn give_up(&mut self) {
        if self.is_worth_waiting_for() {
            self.output.end(LAST_LINE_TO_COUNT).await;
        }
        let unwritten = self.unwritten.drain(..).map(|group| items(&group)).sum::<usize>();
        let writing = self.writing.drain(..);
        let late =
            writing.map(|Writing { items, mut written, .. }| lost(items, written.try_recv().ok()));
        let lost = unwritten + late.sum::<usize>();
        self.counts.add(self.lost_count(), lost);
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

/// Returns how many of a request's items are in no line: all of them if the pipe is broken.
fn lost(items: usize, dropped_items: Option<usize>) -> usize {
    dropped_items.unwrap_or(items)
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
