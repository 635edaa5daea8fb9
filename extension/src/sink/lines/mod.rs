//! Writes requests as OTLP lines on stdout: one thread with a bounded queue, one `write` per line.
//!
//! A request is acknowledged after its last line was written. Requests that arrive together share lines. If the pipe stays full
//! for 200 ms, the waiting requests are refused. A thread writes because writing to stdout has to block: O_NONBLOCK would apply
//! to the other processes that share the descriptor.

pub(crate) mod backlog;
mod thread;

use crate::config::Config;
use crate::counts::Counts;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use thread::{FunctionFacts, Job, Progress, Thread};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use wire::Request;

/// The number of jobs that may wait for the thread.
const QUEUE: usize = 64;
/// Time a pipe may be full before requests are refused.
const FULL_PIPE_TIMEOUT: Duration = Duration::from_millis(200);
/// The number of checks within this time.
const CHECKS: u32 = 4;
/// Time limit for the current line at the end of the process. Lambda may kill the process sooner.
pub(crate) const LAST_LINE: Duration = Duration::from_secs(1);

/// The queue in front of the thread; cheap to clone.
#[derive(Clone)]
pub(crate) struct LineOutput {
    jobs: mpsc::Sender<Job>,
    function: Arc<FunctionFacts>,
    progress: Arc<Progress>,
}

impl LineOutput {
    pub(crate) fn start(
        config: &Config,
        writer: impl Write + Send + 'static,
        counts: Arc<Counts>,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let progress = Arc::<Progress>::default();
        let function = Arc::new(FunctionFacts {
            service_name: config.service_name.clone(),
            region: config.function.region.clone().unwrap_or_default(),
            account: OnceLock::new(),
        });
        let mut thread = Thread::new(
            &config.lines,
            Arc::clone(&function),
            writer,
            Arc::clone(&progress),
            counts,
        );
        std::thread::Builder::new().name("lines".to_owned()).spawn(move || thread.run(queue))?;
        Ok(Self { jobs, function, progress })
    }

    /// Notes the account of the function, which compact lines leave out.
    pub(crate) fn set_account(&self, account: &str) {
        // It fails only if the account is set already.
        self.function.account.set(account.to_owned()).ok();
    }

    /// Returns `true` if the current write already took too long once, so that waiting for it is futile.
    pub(crate) fn is_stuck(&self) -> bool {
        self.progress.is_stuck()
    }

    /// Lets no further line begin, and waits for the current ones, for at most `limit`.
    pub(crate) async fn end(&self, limit: Duration) {
        self.progress.end();
        let last_lines = async {
            while self.progress.is_busy() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        drop(tokio::time::timeout(limit, last_lines).await);
    }

    /// Writes a request, waits until its lines are written, and returns the number of items too large for a line. Gives up when
    /// the pipe was full for 200 ms, and at once while it stays full. `spill` is `true` if the request was meant for a backend.
    pub(crate) async fn write(
        &self,
        request: Request,
        room: OwnedSemaphorePermit,
        spill: bool,
    ) -> Option<usize> {
        if self.is_stuck() {
            return None;
        }
        let (written, answer) = oneshot::channel();
        let job = Job { requests: vec![request], written, keep: false, spill, room: Some(room) };
        let exchange = async {
            self.jobs.send(job).await.ok()?;
            answer.await.ok()
        };
        tokio::select! {
            answered = exchange => answered,
            () = self.wait_until_stuck() => None,
        }
    }

    /// Puts requests into the queue together, or returns them if the queue is full. The thread writes them even if the caller
    /// stops waiting.
    fn queue(
        &self,
        requests: Vec<Request>,
        spill: bool,
    ) -> Result<oneshot::Receiver<usize>, Vec<Request>> {
        let (written, answer) = oneshot::channel();
        match self.jobs.try_send(Job { requests, written, keep: true, spill, room: None }) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) => {
                Err(job.requests)
            }
        }
    }

    /// Waits until one write has taken 200 ms, and notes it. Encoding does not count: it can take long, because a function of 128 MB
    /// has a fourteenth of a CPU.
    async fn wait_until_stuck(&self) {
        let mut seen = None;
        let mut times_seen = 0;
        while times_seen < CHECKS {
            tokio::time::sleep(FULL_PIPE_TIMEOUT / CHECKS).await;
            let current = self.progress.current_write();
            times_seen = match current {
                None => 0,
                Some(_) if current == seen => times_seen + 1,
                Some(_) => 1,
            };
            seen = current;
        }
        if self.progress.note_stuck(seen.unwrap_or_default()) {
            tracing::error!("stdout is blocked: telemetry is refused until Lambda reads it");
        }
    }
}
