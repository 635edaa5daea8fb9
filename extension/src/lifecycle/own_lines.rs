//! The extension's own spans and metrics on their way to stdout: requests that wait for room in the output's queue, and requests
//! that are in it.

use crate::counts::{Count, Counts};
use crate::output::LineOutput;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use wire::{Request, Written};

/// How many requests may wait for room in the queue; the oldest beyond are given up.
const MAX_UNWRITTEN: usize = 64;

pub(super) struct OwnLines {
    output: LineOutput,
    counts: Arc<Counts>,
    /// Requests that the queue had no room for.
    unwritten: Vec<Request>,
    /// Requests in the queue, by the number of their items.
    writing: Vec<(usize, oneshot::Receiver<Written>)>,
}

impl OwnLines {
    pub(super) fn new(output: LineOutput, counts: Arc<Counts>) -> Self {
        Self { output, counts, unwritten: Vec::new(), writing: Vec::new() }
    }

    /// Puts requests into the output's queue; what has no room there waits here.
    pub(super) fn write(&mut self, requests: Vec<Request>) {
        self.writing.retain_mut(|(items, written)| match written.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => true,
            answered => {
                self.counts.add(Count::PlatformLost, lost(*items, answered.ok()));
                false
            }
        });
        self.unwritten.extend(requests);
        let mut waiting = std::mem::take(&mut self.unwritten).into_iter();
        for request in waiting.by_ref() {
            let items = request.items();
            match self.output.offer(request) {
                Ok(written) => self.writing.push((items, written)),
                Err(request) => {
                    self.unwritten.push(request);
                    break;
                }
            }
        }
        self.unwritten.extend(waiting);
        let excess = self.unwritten.len().saturating_sub(MAX_UNWRITTEN);
        for lost in self.unwritten.drain(..excess) {
            self.counts.add(Count::PlatformLost, lost.items());
        }
    }

    /// Waits until the lines are written, but no longer than this: the pipe may be full. Not at all where it is known to be stuck.
    pub(super) async fn wait_written(&mut self, limit: Duration) {
        if self.output.is_stuck() {
            return;
        }
        let Self { writing, counts, .. } = self;
        let all = async {
            while let Some((items, written)) = writing.last_mut() {
                let answered = written.await.ok();
                counts.add(Count::PlatformLost, lost(*items, answered));
                writing.pop();
            }
        };
        // Those that were not written in time stay in the queue, and are written when there is room.
        drop(tokio::time::timeout(limit, all).await);
    }

    /// Whether anything is left that may still be written soon.
    pub(super) fn is_worth_waiting_for(&self) -> bool {
        !(self.writing.is_empty() && self.unwritten.is_empty() || self.output.is_stuck())
    }

    /// Counts what is not written by now as lost.
    pub(super) fn give_up(&self) {
        let unwritten = self.unwritten.iter().map(Request::items).sum::<usize>()
            + self.writing.iter().map(|(items, _)| items).sum::<usize>();
        self.counts.add(Count::PlatformLost, unwritten);
    }
}

/// How many of a request's items are in no line: all of them where the pipe is broken.
fn lost(items: usize, written: Option<Written>) -> usize {
    written.map_or(items, |written| written.dropped_items)
}
