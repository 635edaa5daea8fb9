//! Writes requests as OTLP lines on stdout: one thread behind a bounded queue, one `write` per line.
//!
//! A request is acknowledged after its last line was written. Requests that arrive together share lines. If the pipe stays full
//! for 200 ms, the waiting requests are refused. A thread writes because writing to stdout has to block: O_NONBLOCK would apply
//! to the other processes that share the descriptor.

pub(crate) mod backlog;
mod thread;

use crate::config::Config;
use crate::counts::{Count, Counts};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use thread::{Function, Job, Pending, Progress, Thread};
use tokio::sync::{mpsc, oneshot};
use wire::Request;

/// The number of requests that may wait for the thread.
const QUEUE: usize = 64;
/// Time a pipe may be full before requests are refused.
const FULL_PIPE_TIMEOUT: Duration = Duration::from_millis(200);
const LOOKS: u32 = 4;
/// Time limit for the current line at the end of the process. Lambda may kill the process sooner.
pub(crate) const LAST_LINE: Duration = Duration::from_secs(1);

/// The queue in front of the thread; cheap to clone.
#[derive(Clone)]
pub(crate) struct LineOutput {
    jobs: mpsc::Sender<Job>,
    function: Arc<Function>,
    progress: Arc<Progress>,
    /// The number of requests in the queue or in the thread.
    pending: Arc<AtomicUsize>,
    /// The last write that was found stuck, or 0.
    stuck: Arc<AtomicU64>,
    counts: Arc<Counts>,
}

impl LineOutput {
    pub(crate) fn start(
        config: &Config,
        writer: impl Write + Send + 'static,
        counts: Arc<Counts>,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let progress = Arc::<Progress>::default();
        let (watched, told) = (Arc::clone(&progress), Arc::clone(&counts));
        let function = Arc::new(Function {
            service_name: config.service_name.clone(),
            region: config.function.region.clone().unwrap_or_default(),
            account: OnceLock::new(),
        });
        let of_thread = Arc::clone(&function);
        let mut thread = Thread::new(&config.lines, of_thread, writer, watched, told);
        let lines = std::thread::Builder::new().name("lines".to_owned());
        lines.spawn(move || thread.run(queue))?;
        let (pending, stuck) = (Arc::default(), Arc::default());
        Ok(Self { jobs, function, progress, pending, stuck, counts })
    }

    /// Notes the account of the function, which compact lines leave out.
    pub(crate) fn set_account(&self, account: &str) {
        // Only set here.
        self.function.account.set(account.to_owned()).ok();
    }

    /// Returns `true` if the current write already took too long once, so that waiting for it is futile.
    pub(crate) fn is_stuck(&self) -> bool {
        self.progress.current() == Some(self.stuck.load(Ordering::Relaxed))
    }

    /// Lets no further line begin, and waits for the current one, for at most `limit`.
    pub(crate) async fn end(&self, limit: Duration) {
        self.progress.end();
        let last_line = async {
            while self.pending.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        drop(tokio::time::timeout(limit, last_line).await);
    }

    /// Writes a request, waits until its lines are written, and returns the number of items too large for a line. Gives up when
    /// the pipe was full for 200 ms, and at once while it stays full. `spill` is `true` if the request was meant for a backend.
    pub(crate) async fn write(&self, request: Request, spill: bool) -> Option<usize> {
        if self.is_stuck() {
            return None;
        }
        let (written, mut answer) = oneshot::channel();
        let begun = Arc::new(AtomicBool::new(false));
        let pending = Pending::begin(&self.pending);
        let (requests, of_job) = (vec![request], Arc::clone(&begun));
        let job = Job { requests, written, begun: of_job, keep: false, spill, pending };
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
        if answered.is_none() {
            // Close the channel before reading `begun`: the thread skips closed jobs that it has not begun.
            answer.close();
            if begun.load(Ordering::SeqCst) {
                self.counts.add(Count::Ambiguous, 1);
            }
        }
        answered
    }

    /// Puts requests into the queue together, or returns them if the queue is full. The thread writes them even if the caller
    /// stops waiting.
    fn queue(
        &self,
        requests: Vec<Request>,
        spill: bool,
    ) -> Result<oneshot::Receiver<usize>, Vec<Request>> {
        let (written, answer) = oneshot::channel();
        let pending = Pending::begin(&self.pending);
        let job = Job { requests, written, begun: Arc::default(), keep: true, spill, pending };
        match self.jobs.try_send(job) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) => {
                Err(job.requests)
            }
        }
    }

    /// Returns when one write has taken 200 ms. Encoding does not count: it can take long, because a function of 128 MB has a
    /// fourteenth of a CPU.
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
            tracing::error!("stdout is blocked: telemetry is refused until Lambda reads it");
        }
    }
}
