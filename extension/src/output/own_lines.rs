//! Requests on their way to stdout that nobody waits to have acknowledged: the extension's own spans and metrics, and what no
//! backend took. They wait for room in the output's queue, or are in it.

use super::LineOutput;
use crate::counts::{Count, Counts};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use wire::{Request, Written};

/// How long the line is waited for that is under way when the others are given up, before it is given up too.
const LAST_LINE_TO_COUNT: Duration = Duration::from_millis(50);
/// How many requests may wait for room in the queue; the oldest beyond are given up.
const MAX_UNWRITTEN: usize = 64;

type Offer = fn(&LineOutput, Request) -> Result<oneshot::Receiver<Written>, Request>;

pub(crate) struct OwnLines {
    output: LineOutput,
    offer: Offer,
    /// What is counted where they cannot be written.
    lost: Count,
    most_unwritten: usize,
    counts: Arc<Counts>,
    /// Requests that the queue had no room for.
    unwritten: Vec<Request>,
    /// Requests in the queue.
    writing: Vec<Writing>,
}

/// A request in the queue.
struct Writing {
    items: usize,
    #[cfg_attr(
        not(feature = "direct"),
        expect(dead_code, reason = "asked for by the direct output")
    )]
    bytes: usize,
    written: oneshot::Receiver<Written>,
}

impl OwnLines {
    /// The extension's own spans and metrics.
    pub(crate) fn new(output: LineOutput, counts: Arc<Counts>) -> Self {
        let (offer, lost): (Offer, _) = (LineOutput::offer, Count::PlatformLost);
        let (unwritten, writing) = (Vec::new(), Vec::new());
        Self { output, offer, lost, most_unwritten: MAX_UNWRITTEN, counts, unwritten, writing }
    }

    /// What was acknowledged and no backend took; the bound of the buffer that it comes from is its own.
    #[cfg(feature = "direct")]
    pub(crate) fn spilled(output: LineOutput, counts: Arc<Counts>) -> Self {
        let (offer, lost): (Offer, _) = (LineOutput::offer_spilled, Count::SpillLost);
        Self { offer, lost, most_unwritten: usize::MAX, ..Self::new(output, counts) }
    }

    /// Puts requests into the output's queue; what has no room there waits here.
    pub(crate) fn write(&mut self, requests: Vec<Request>) {
        self.writing.retain_mut(|Writing { items, written, .. }| match written.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => true,
            answered => {
                note_lost(&self.counts, self.lost, lost(*items, answered.ok()));
                false
            }
        });
        self.unwritten.extend(requests);
        let mut waiting = std::mem::take(&mut self.unwritten).into_iter();
        for request in waiting.by_ref() {
            let (items, bytes) = (request.items(), request.bytes().len());
            match (self.offer)(&self.output, request) {
                Ok(written) => self.writing.push(Writing { items, bytes, written }),
                Err(request) => {
                    self.unwritten.push(request);
                    break;
                }
            }
        }
        self.unwritten.extend(waiting);
        let excess = self.unwritten.len().saturating_sub(self.most_unwritten);
        for request in self.unwritten.drain(..excess) {
            self.counts.add(self.lost, request.items());
        }
    }

    /// Waits until the lines are written, but no longer than this: the pipe may be full. Not at all where it is known to be stuck.
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
        // Those that were not written in time stay in the queue, and are written when there is room.
        drop(tokio::time::timeout(limit, all).await);
    }

    /// Bytes of what is not written yet, as far as is known.
    #[cfg(feature = "direct")]
    pub(crate) fn bytes(&self) -> usize {
        let unwritten = self.unwritten.iter().map(|request| request.bytes().len());
        unwritten.chain(self.writing.iter().map(|writing| writing.bytes)).sum()
    }

    /// Whether anything waits for room in the queue.
    #[cfg(feature = "direct")]
    pub(crate) fn is_behind(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Whether anything is left that may still be written soon.
    pub(crate) fn is_worth_waiting_for(&self) -> bool {
        !(self.writing.is_empty() && self.unwritten.is_empty() || self.output.is_stuck())
    }

    /// Counts what is not written by now as lost. Where that is anything, no further line is begun.
    pub(crate) async fn give_up(&mut self) {
        if self.is_worth_waiting_for() {
            self.output.end(LAST_LINE_TO_COUNT).await;
        }
        let unwritten = self.unwritten.iter().map(Request::items).sum::<usize>();
        let writing = self.writing.iter_mut();
        let late =
            writing.map(|Writing { items, written, .. }| lost(*items, written.try_recv().ok()));
        self.counts.add(self.lost, unwritten + late.sum::<usize>());
    }
}

/// What was acknowledged and is in no line is told at once: the sum of all comes only at the end of the environment.
fn note_lost(counts: &Counts, count: Count, items: usize) {
    counts.add(count, items);
    if items > 0 && matches!(count, Count::SpillLost) {
        tracing::error!(items, "no backend took them, and no line can hold them: they are lost");
    }
}

/// How many of a request's items are in no line: all of them where the pipe is broken.
fn lost(items: usize, written: Option<Written>) -> usize {
    written.map_or(items, |written| written.dropped_items)
}
