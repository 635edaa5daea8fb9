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
/// The number of groups of the extension's own requests that may wait for room in the queue; the oldest beyond it are dropped.
const MAX_UNWRITTEN: usize = 64;

/// The requests of one origin that wait for room in the queue, or are in it.
pub(crate) struct Backlog {
    output: LineOutput,
    /// The requests were meant for a backend.
    spill: bool,
    /// The counter of items that cannot be written.
    lost: Count,
    most_unwritten: usize,
    counts: Arc<Counts>,
    /// Groups of requests that did not fit the queue.
    unwritten: Vec<Vec<Request>>,
    writing: Vec<Writing>,
}

/// A group of requests in the queue.
struct Writing {
    items: usize,
    bytes: usize,
    written: oneshot::Receiver<usize>,
}

impl Backlog {
    /// Makes the backlog of the extension's own spans and metrics.
    pub(crate) fn own(output: LineOutput, counts: Arc<Counts>) -> Self {
        Self {
            output,
            spill: false,
            lost: Count::PlatformLost,
            most_unwritten: MAX_UNWRITTEN,
            counts,
            unwritten: Vec::new(),
            writing: Vec::new(),
        }
    }

    /// Makes the backlog of requests that no backend accepted. Their buffer bounds it.
    pub(crate) fn spilled(output: LineOutput, counts: Arc<Counts>) -> Self {
        Self {
            spill: true,
            lost: Count::SpillLost,
            most_unwritten: usize::MAX,
            ..Self::own(output, counts)
        }
    }

    /// Adds requests, which may share a line, and moves as many as possible to the queue.
    pub(crate) fn write(&mut self, requests: Vec<Request>) {
        self.writing.retain_mut(|Writing { items, written, .. }| match written.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => true,
            answered => {
                note_lost(&self.counts, self.lost, lost(*items, answered.ok()));
                false
            }
        });
        if self.spill {
            // Each is as large as requests that are written together.
            self.unwritten.extend(requests.into_iter().map(|request| vec![request]));
        } else if !requests.is_empty() {
            self.unwritten.push(requests);
        }
        let mut waiting = std::mem::take(&mut self.unwritten).into_iter();
        for group in waiting.by_ref() {
            let (items, bytes) = (items(&group), bytes(&group));
            match self.output.queue(group, self.spill) {
                Ok(written) => self.writing.push(Writing { items, bytes, written }),
                Err(group) => {
                    self.unwritten.push(group);
                    break;
                }
            }
        }
        self.unwritten.extend(waiting);
        let excess = self.unwritten.len().saturating_sub(self.most_unwritten);
        for group in self.unwritten.drain(..excess) {
            self.counts.add(self.lost, items(&group));
        }
    }

    /// Waits until the queued requests are written, for at most `limit`. Returns at once if the pipe is stuck.
    pub(crate) async fn wait_written(&mut self, limit: Duration) {
        if self.output.is_stuck() {
            return;
        }
        let Self { writing, counts, lost: count, .. } = self;
        let all = async {
            while let Some(Writing { items, written, .. }) = writing.last_mut() {
                let answered = written.await.ok();
                note_lost(counts, *count, lost(*items, answered));
                writing.pop();
            }
        };
        // Late requests stay in the queue.
        drop(tokio::time::timeout(limit, all).await);
    }

    /// Writes as much as possible until `end`.
    pub(crate) async fn drain(&mut self, end: tokio::time::Instant) {
        while self.is_worth_waiting_for() && tokio::time::Instant::now() < end {
            self.wait_written(end - tokio::time::Instant::now()).await;
            self.write(Vec::new());
        }
    }

    /// Returns the number of bytes that are not known to be written.
    pub(crate) fn bytes(&self) -> usize {
        let unwritten = self.unwritten.iter().map(|group| bytes(group));
        unwritten.chain(self.writing.iter().map(|writing| writing.bytes)).sum()
    }

    /// Returns `true` if a request waits for room in the queue.
    pub(crate) fn is_behind(&self) -> bool {
        !self.unwritten.is_empty()
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
        self.counts.add(self.lost, unwritten + late.sum::<usize>());
    }
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
        tracing::error!(
            items,
            "acknowledged items are lost: neither the backend nor stdout accepted them"
        );
    }
}

/// Returns how many of a request's items are in no line: all of them if the pipe is broken.
fn lost(items: usize, dropped_items: Option<usize>) -> usize {
    dropped_items.unwrap_or(items)
}
