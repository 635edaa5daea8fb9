//! The flush in progress. There is one at a time, in a task of its own.

use super::buffer::{BatchKind, SharedBuffer};
use super::health::BackendHealth;
use super::uploader::{FlushBatches, FlushResult, Uploader};
use crate::clock::unix_millis;
use crate::counts::{Count, Counts};
use crate::tasks;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wire::SignalKind;

/// Starts and ends flushes, and learns the backend's health from them.
pub(super) struct Flushes {
    buffer: SharedBuffer,
    uploader: Arc<Uploader>,
    pub(super) health: BackendHealth,
    current: Option<RunningFlush>,
    counts: Arc<Counts>,
}

struct RunningFlush {
    task: JoinHandle<()>,
    ended: oneshot::Receiver<FlushResult>,
    begun: Instant,
}

/// The end of a flush that was not aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlushEnded {
    /// The backend works, even if requests remain for the next flush.
    Succeeded,
    Failed,
    Panicked,
}

impl Flushes {
    pub(super) fn new(buffer: &SharedBuffer, uploader: Uploader, counts: &Arc<Counts>) -> Self {
        Self {
            buffer: Arc::clone(buffer),
            uploader: Arc::new(uploader),
            health: BackendHealth::default(),
            current: None,
            counts: Arc::clone(counts),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.current.is_some()
    }

    /// Begins a flush of all waiting requests. `is_last` is `true` if the environment ends and many bytes wait.
    pub(super) fn begin(&mut self, at_most: Duration, is_last: bool) {
        tracing::debug!(bytes = self.buffer.bytes(), "flush begins");
        let batches = FlushBatches {
            traces: self.buffer.take(BatchKind::Otlp(SignalKind::Traces)),
            metrics: self.buffer.take(BatchKind::Otlp(SignalKind::Metrics)),
            logs: self.buffer.take(BatchKind::Otlp(SignalKind::Logs)),
            events: self.buffer.take(BatchKind::Events),
        };
        let uploader = Arc::clone(&self.uploader);
        let begun = Instant::now();
        let end = begun + at_most;
        let (report, ended) = oneshot::channel();
        let task = tasks::spawn(async move {
            drop(report.send(Box::pin(uploader.send(batches, end, is_last)).await));
        });
        self.current = Some(RunningFlush { task, ended, begun });
    }

    /// Waits for the end of the flush; forever if there is none.
    pub(super) async fn ended(&mut self) -> FlushEnded {
        let Some(running) = &mut self.current else { return std::future::pending().await };
        let result = (&mut running.ended).await;
        let took = running.begun.elapsed();
        self.current = None;
        let Ok(result) = result else {
            self.counts.add(Count::FailedFlushes, 1);
            return FlushEnded::Panicked;
        };
        self.note(&result, took);
        if result.has_failed() { FlushEnded::Failed } else { FlushEnded::Succeeded }
    }

    /// Aborts the flush. When this returns, its unsettled batches are in the buffer and its connections are closed.
    pub(super) async fn abort(&mut self) {
        let Some(RunningFlush { task, mut ended, begun }) = self.current.take() else { return };
        task.abort();
        drop(task.await);
        if let Ok(result) = ended.try_recv() {
            return self.note(&result, begun.elapsed());
        }
        self.counts.add(Count::FailedFlushes, 1);
        self.health.note_failure(begun.elapsed(), None, unix_millis());
    }

    pub(super) fn drop_connections(&self) {
        self.uploader.drop_connections();
    }

    fn note(&mut self, result: &FlushResult, took: Duration) {
        if result.has_failed() {
            self.health.note_failure(took, result.retry_after, unix_millis());
        } else {
            self.health.note_success(took);
        }
    }
}
