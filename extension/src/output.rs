//! Writes requests as lines on stdout: one thread behind a bounded queue, one `write` a line.
//!
//! Write-through: a request is acknowledged after its last line was written, so nothing that was acknowledged waits in memory.
//! Requests that arrive together share lines. A pipe that stays full for 200 ms refuses what waits; a thread of its own does
//! the writing because stdout must block: O_NONBLOCK would be set on a descriptor that others share.

use crate::clock;
use crate::config::Lines;
use crate::roots;
use crate::supervise;
use crate::vitals::{Count, Vitals};
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use wire::{Envelope, LineEncoder, LineLimits, Request, Written};

/// Requests that wait for the thread.
const QUEUE: usize = 64;
/// A full pipe refuses after this.
const PATIENCE: Duration = Duration::from_millis(200);
const LOOKS: u32 = 4;

/// Requests up to this size share lines; a larger one fills lines of its own, and what it is told about items that no line
/// can hold is about its own items.
const SHARED_BYTES: usize = 32 * 1024;
const TOGETHER_BYTES: usize = 256 * 1024;
const TOGETHER_ITEMS: usize = 10_000;

/// The pipe was full, or could not be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

struct Job {
    request: Request,
    /// Dropped unanswered where the lines could not be written.
    written: oneshot::Sender<Written>,
    /// Set before the first byte of it is written.
    begun: Arc<AtomicBool>,
    /// Written even if nobody waits for the answer any more.
    keep: bool,
}

/// The queue before the thread; cheap to clone.
#[derive(Clone)]
pub(crate) struct Output {
    jobs: mpsc::Sender<Job>,
    progress: Arc<Progress>,
    vitals: Arc<Vitals>,
}

/// Counts the beginnings and ends of writes: odd while one is under way.
#[derive(Default)]
struct Progress(AtomicU64);

impl Progress {
    fn switch(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The write that is under way.
    fn current(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|number| number % 2 == 1)
    }
}

impl Output {
    /// Starts the thread.
    pub(crate) fn start(
        lines: &Lines,
        service_name: &str,
        writer: impl Write + Send + 'static,
        vitals: Arc<Vitals>,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let progress = Arc::<Progress>::default();
        let mut thread = Thread {
            lines: lines.clone(),
            service_name: service_name.to_owned(),
            encoder: None,
            writer,
            progress: Arc::clone(&progress),
            vitals: Arc::clone(&vitals),
        };
        std::thread::Builder::new().name("lines".to_owned()).spawn(move || thread.run(queue))?;
        Ok(Self { jobs, progress, vitals })
    }

    /// Writes a request; gives up when the pipe has been full for 200 ms.
    pub(crate) async fn write(&self, request: Request) -> Result<Written, Refused> {
        let (written, mut answer) = oneshot::channel();
        let begun = Arc::new(AtomicBool::new(false));
        let job = Job { request, written, begun: Arc::clone(&begun), keep: false };
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
            // Closed first: what the thread has not begun by now it leaves out.
            answer.close();
            if begun.load(Ordering::SeqCst) {
                self.vitals.add(Count::Ambiguous, 1);
            }
            Refused
        })
    }

    /// Puts a request of our own into the queue, or gives it back if there is no room. It is written once there is.
    pub(crate) fn offer(&self, request: Request) -> Result<oneshot::Receiver<Written>, Request> {
        let (written, answer) = oneshot::channel();
        let job = Job { request, written, begun: Arc::default(), keep: true };
        match self.jobs.try_send(job) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) => {
                Err(job.request)
            }
        }
    }

    /// Ends when one write has been under way for 200 ms. The time that encoding takes does not count: a function of 128 MB
    /// has a fourteenth of a CPU.
    async fn full_pipe(&self) {
        let mut seen = None;
        let mut looks = 0;
        while looks < LOOKS {
            tokio::time::sleep(PATIENCE / LOOKS).await;
            let current = self.progress.current();
            looks = if current.is_some() && current == seen { looks + 1 } else { 1 };
            if current.is_none() {
                looks = 0;
            }
            seen = current;
        }
    }
}

struct Thread<W> {
    lines: Lines,
    service_name: String,
    encoder: Option<LineEncoder>,
    writer: W,
    progress: Arc<Progress>,
    vitals: Arc<Vitals>,
}

impl<W: Write> Thread<W> {
    fn run(&mut self, mut queue: mpsc::Receiver<Job>) {
        let mut next = None;
        while let Some(first) = next.take().or_else(|| queue.blocking_recv()) {
            let together;
            (together, next) = collect(first, &mut queue);
            let vitals = Arc::clone(&self.vitals);
            if supervise::catch("lines", &vitals, || self.write_together(together)).is_none() {
                // Its buffers may be half filled.
                self.encoder = None;
            }
        }
    }

    fn write_together(&mut self, mut jobs: Vec<Job>) {
        // Begun first, then looked whether anybody waits: the one who stops waiting does it the other way round, so that
        // a line is written either never or known as begun.
        for job in &jobs {
            job.begun.store(true, Ordering::SeqCst);
        }
        jobs.retain(|job| job.keep || !job.written.is_closed());
        let (mut requests, mut waiting) = (Vec::new(), Vec::new());
        for job in jobs {
            let items = job.request.items();
            requests.push(job.request);
            waiting.push((job.written, items));
        }
        let alone = requests.len() == 1;
        let requests = if alone { requests } else { wire::merge(requests, TOGETHER_BYTES) };
        let mut all = Written::default();
        for request in requests {
            let Ok(written) = self.write(request) else { return };
            all.lines += written.lines;
            all.items += written.items;
            all.truncated_values += written.truncated_values;
            all.dropped_items += written.dropped_items;
        }
        self.vitals.add(Count::Lines, all.lines);
        self.vitals.add(Count::Truncated, all.truncated_values);
        self.vitals.add(Count::TooLarge, all.dropped_items);
        for (written, items) in waiting {
            let answer = if alone { all } else { Written { items, ..Written::default() } };
            // Who waited has gone: it was told 503, and will send it again.
            written.send(answer).ok();
        }
    }

    fn write(&mut self, request: Request) -> io::Result<Written> {
        let source = roots::service_name(&request);
        let json_level = self.lines.json_level.as_deref();
        let envelope = Envelope {
            source: source.as_deref().unwrap_or(&self.service_name),
            level: json_level,
            unix_nanos: json_level.map(|_| clock::unix_nanos()),
            spill: false,
        };
        let encoder = self.encoder.get_or_insert_with(|| {
            let max_bytes = self.lines.max_bytes;
            let limits = LineLimits { max_bytes, ..LineLimits::default() };
            LineEncoder::new(self.lines.compression_level, limits)
        });
        let mut lines = Vec::new();
        let written = encoder.encode(&envelope, request, &mut lines);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.progress.switch();
            let result = write_whole(&mut self.writer, line);
            self.progress.switch();
            result?;
        }
        Ok(written)
    }
}

/// The first job, what waits behind it and may share its lines, and the one that may not.
fn collect(first: Job, queue: &mut mpsc::Receiver<Job>) -> (Vec<Job>, Option<Job>) {
    let is_small = |job: &Job| job.request.bytes().len() <= SHARED_BYTES;
    let (mut items, mut bytes) = (first.request.items(), first.request.bytes().len());
    if !is_small(&first) {
        return (vec![first], None);
    }
    let mut together = vec![first];
    while let Ok(job) = queue.try_recv() {
        items += job.request.items();
        bytes += job.request.bytes().len();
        if !is_small(&job) || bytes > TOGETHER_BYTES || items > TOGETHER_ITEMS {
            return (together, Some(job));
        }
        together.push(job);
    }
    (together, None)
}

/// Writes a whole line, however often the pipe takes a part of it.
fn write_whole(writer: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match writer.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(taken) => line = line.get(taken..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Somebody else has set O_NONBLOCK on the shared descriptor.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
    writer.flush()
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
