//! Writes requests as lines on stdout: one thread behind a bounded queue, one `write` a line. Where telemetry is sent to a backend,
//! requests go into its buffer instead, and only what has no room there becomes lines.
//!
//! A request is acknowledged after its last line was written, so that nothing acknowledged waits in memory. Requests that arrive
//! together share lines. Where the pipe stays full for 200 ms, the requests that wait are refused. A thread writes, since writing
//! to stdout has to block: O_NONBLOCK would be set on a descriptor that other processes share.

pub(crate) mod own_lines;
mod thread;

use crate::buffer::{SharedBuffer, Unbuffered};
use crate::config::Lines;
use crate::counts::{Count, Counts};
use crate::tasks;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};
use thread::{Job, Marks, Pending, Progress, Thread};
use tokio::sync::{mpsc, oneshot};
use wire::{Request, Written};

/// How many requests may wait for the thread.
pub(crate) const QUEUE: usize = 64;
/// How long a pipe may be full before requests are refused.
const FULL_PIPE_TIMEOUT: Duration = Duration::from_millis(200);
const LOOKS: u32 = 4;
/// How long the line that is under way is waited for when nothing else is left to do; Lambda may end the process sooner.
pub(crate) const LAST_LINE: Duration = Duration::from_secs(1);

/// The pipe was full, or could not be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// The queue in front of the thread; cheap to clone.
#[derive(Clone)]
pub(crate) struct LineOutput {
    jobs: mpsc::Sender<Job>,
    progress: Arc<Progress>,
    /// Requests in the queue, or whose lines are written.
    pending: Arc<AtomicUsize>,
    thread: ThreadId,
    /// The write that was found stuck last; 0 before there was one. While it is under way nothing else can be written.
    stuck: Arc<AtomicU64>,
    /// What waits to be sent, where anything is sent.
    buffer: Option<SharedBuffer>,
    counts: Arc<Counts>,
}

impl LineOutput {
    /// Starts the thread. Where a line may have been cut off in the middle before, what comes next is made no part of it.
    pub(crate) fn start(
        lines: &Lines,
        service_name: &str,
        writer: impl Write + Send + 'static,
        is_behind_cut_line: bool,
        counts: Arc<Counts>,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let progress = Arc::<Progress>::default();
        let (watched, told) = (Arc::clone(&progress), Arc::clone(&counts));
        let mut thread =
            Thread::new(lines, service_name, writer, watched, is_behind_cut_line, told);
        let lines = std::thread::Builder::new().name("lines".to_owned());
        let thread = lines.spawn(move || tasks::or_end(|| thread.run(queue)))?.thread().id();
        let (pending, stuck) = (Arc::default(), Arc::default());
        Ok(Self { jobs, progress, pending, thread, stuck, buffer: None, counts })
    }

    /// The same output, with requests going into this buffer from now on.
    pub(crate) fn buffered(self, buffer: Option<SharedBuffer>) -> Self {
        Self { buffer, ..self }
    }

    /// Whether requests go into a buffer, to be sent.
    pub(crate) fn is_buffered(&self) -> bool {
        self.buffer.is_some()
    }

    /// Puts a request into the buffer, of spans that had not ended where `partial` says so. `Err` where it is to be written: the
    /// request, and whether it is spilled.
    fn buffer(&self, request: Request, partial: bool) -> Result<Written, (Request, bool)> {
        let Some(buffer) = &self.buffer else { return Err((request, false)) };
        let put = if partial { buffer.put_partial(request) } else { buffer.put(request) };
        match put {
            Ok(items) => Ok(Written { items, ..Written::default() }),
            Err(Unbuffered::Full(request)) => Err((request, true)),
            Err(Unbuffered::Closed(request)) => Err((request, false)),
        }
    }

    /// How many requests are in the queue, or have lines that are written.
    fn pending(&self) -> usize {
        self.pending.load(Ordering::SeqCst)
    }

    /// Waits so long at most, and stops the thread that called, until nothing is written and nothing waits for it. How many requests
    /// are left: none can be written while stdout takes nothing, or where the calling thread is the one that writes.
    pub(crate) fn wait_idle(&self, limit: Duration) -> usize {
        const LOOK: Duration = Duration::from_millis(1);
        let begun = Instant::now();
        let (mut seen, mut seen_at) = (self.progress.current(), begun);
        loop {
            let pending = self.pending();
            let is_stuck = seen.is_some() && seen_at.elapsed() > FULL_PIPE_TIMEOUT;
            let is_in_vain =
                is_stuck || self.is_stuck() || self.thread == std::thread::current().id();
            if pending == 0 || is_in_vain || begun.elapsed() > limit {
                return pending;
            }
            std::thread::sleep(LOOK);
            let current = self.progress.current();
            if current != seen {
                (seen, seen_at) = (current, Instant::now());
            }
        }
    }

    /// Whether a write is under way that took too long before: whoever waits for it waits in vain.
    pub(crate) fn is_stuck(&self) -> bool {
        self.progress.current() == Some(self.stuck.load(Ordering::Relaxed))
    }

    /// Begins no further line, and waits for the one that is under way, but no longer than this: the end of the process cuts it off.
    pub(crate) async fn end(&self, limit: Duration) {
        self.progress.end();
        let last_line = async {
            while self.pending() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        drop(tokio::time::timeout(limit, last_line).await);
    }

    /// Takes a request: into the buffer, or writes it; gives up when the pipe has been full for 200 ms, and at once as long as it then stays so.
    pub(crate) async fn write(&self, request: Request) -> Result<Written, Refused> {
        self.take(request, false).await
    }

    /// The same of spans that had not ended when they were exported.
    pub(crate) async fn write_partial(&self, request: Request) -> Result<Written, Refused> {
        self.take(request, true).await
    }

    async fn take(&self, request: Request, partial: bool) -> Result<Written, Refused> {
        let (request, spill) = match self.buffer(request, partial) {
            Ok(buffered) => return Ok(buffered),
            Err(unbuffered) => unbuffered,
        };
        if self.is_stuck() {
            return Err(Refused);
        }
        let (written, mut answer) = oneshot::channel();
        let begun = Arc::new(AtomicBool::new(false));
        let marks = Marks { spill, partial };
        let pending = Pending::begin(&self.pending);
        let job = Job { request, written, begun: Arc::clone(&begun), keep: false, marks, pending };
        let answered = {
            let exchange = async {
                self.jobs.send(job).await.ok()?;
                (&mut answer).await.ok()
            };
            tokio::select! {
                answered = exchange => answered,
                () = self.full_pipe() => None,
            }
        };
        answered.ok_or_else(|| {
            // Closed before `begun` is read: the thread leaves out what it has not begun by now.
            answer.close();
            if begun.load(Ordering::SeqCst) {
                self.counts.add(Count::Ambiguous, 1);
            }
            Refused
        })
    }

    /// Puts a request of our own into the buffer or the queue, or gives it back if there is no room. It is written once there is.
    pub(crate) fn offer(&self, request: Request) -> Result<oneshot::Receiver<Written>, Request> {
        match self.buffer(request, false) {
            Ok(buffered) => {
                let (written, answer) = oneshot::channel();
                // The receiver is in the next line.
                written.send(buffered).ok();
                Ok(answer)
            }
            Err((request, spill)) => self.queue(request, spill),
        }
    }

    /// Puts a request that no backend took into the queue, or gives it back if there is no room.
    #[cfg(feature = "direct")]
    pub(crate) fn offer_spilled(
        &self,
        request: Request,
    ) -> Result<oneshot::Receiver<Written>, Request> {
        self.queue(request, true)
    }

    fn queue(&self, request: Request, spill: bool) -> Result<oneshot::Receiver<Written>, Request> {
        let (written, answer) = oneshot::channel();
        let marks = Marks { spill, partial: false };
        let pending = Pending::begin(&self.pending);
        let job = Job { request, written, begun: Arc::default(), keep: true, marks, pending };
        match self.jobs.try_send(job) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) => {
                Err(job.request)
            }
        }
    }

    /// Ends when one write has been under way for 200 ms. The time that encoding takes does not count, since it can be long: a
    /// function of 128 MB has a fourteenth of a CPU.
    async fn full_pipe(&self) {
        let mut seen = None;
        let mut looks = 0;
        while looks < LOOKS {
            tokio::time::sleep(FULL_PIPE_TIMEOUT / LOOKS).await;
            let current = self.progress.current();
            looks = if current.is_some() && current == seen { looks + 1 } else { 1 };
            if current.is_none() {
                looks = 0;
            }
            seen = current;
        }
        if self.stuck.swap(seen.unwrap_or_default(), Ordering::Relaxed) == 0 {
            tracing::error!("stdout takes nothing: telemetry is refused until it does");
        }
    }
}

#[cfg(test)]
mod tests;
