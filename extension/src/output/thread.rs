//! The thread that writes lines: one `write` for each line, and one line for requests that arrive together.

use crate::clock;
use crate::config::Lines;
use crate::counts::{Count, Counts};
use crate::otlp_fields::service_name;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use wire::{Envelope, LineEncoder, LineLimits, Request, Written};

/// Requests up to this size share lines. A larger one has lines of its own, so that its sender can be told how many of its
/// items no line could hold.
const SHARED_BYTES: usize = 32 * 1024;
const TOGETHER_BYTES: usize = 256 * 1024;
const TOGETHER_ITEMS: usize = 10_000;

/// A request in the queue.
pub(super) struct Job {
    pub(super) request: Request,
    /// Told when the lines are written; dropped where they could not be.
    pub(super) written: oneshot::Sender<Written>,
    /// Set before the first byte of it is written.
    pub(super) begun: Arc<AtomicBool>,
    /// Written even if nobody waits for the answer any more.
    pub(super) keep: bool,
    pub(super) marks: Marks,
    pub(super) pending: Pending,
}

/// Counts a request as long as it is in the queue or its lines are written.
pub(super) struct Pending(Arc<AtomicUsize>);

impl Pending {
    pub(super) fn begin(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(all))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What the lines of a request say of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// It was to be sent to a backend, and was not.
    pub(super) spill: bool,
    /// Its spans had not ended when they were exported.
    pub(super) partial: bool,
}

/// What the thread is doing, and whether it may go on.
#[derive(Default)]
pub(super) struct Progress {
    /// Counts the beginnings and ends of writes: odd while one is under way.
    writes: AtomicU64,
    has_ended: AtomicBool,
}

impl Progress {
    fn switch(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// The write that is under way.
    pub(super) fn current(&self) -> Option<u64> {
        Some(self.writes.load(Ordering::Relaxed)).filter(|number| number % 2 == 1)
    }

    /// Lets no further line begin. A request is [`Pending`] before the thread asks whether it may begin one, and whoever ends it asks
    /// the other way round: so a line is either pending or not begun.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }
}

/// Takes requests out of the queue, and writes their lines.
pub(super) struct Thread<W> {
    lines: Lines,
    service_name: String,
    encoder: Option<LineEncoder>,
    writer: W,
    progress: Arc<Progress>,
    /// The next line begins with the end of one that was cut off.
    is_behind_cut_line: bool,
    counts: Arc<Counts>,
}

impl<W: Write> Thread<W> {
    pub(super) fn new(
        lines: &Lines,
        service_name: &str,
        writer: W,
        progress: Arc<Progress>,
        is_behind_cut_line: bool,
        counts: Arc<Counts>,
    ) -> Self {
        let (lines, service_name) = (lines.clone(), service_name.to_owned());
        let encoder = None;
        Self { lines, service_name, encoder, writer, progress, is_behind_cut_line, counts }
    }

    pub(super) fn run(&mut self, mut queue: mpsc::Receiver<Job>) {
        let mut next = None;
        while let Some(first) = next.take().or_else(|| queue.blocking_recv()) {
            let together;
            (together, next) = collect(first, &mut queue);
            self.write_together(together);
        }
    }

    fn write_together(&mut self, mut jobs: Vec<Job>) {
        if self.progress.has_ended() {
            return;
        }
        // A job is marked as begun before the thread looks whether its sender still waits; a sender that gives up does it the
        // other way round. So a job that is given up is either never written or known to be begun.
        for job in &jobs {
            job.begun.store(true, Ordering::SeqCst);
        }
        jobs.retain(|job| job.keep || !job.written.is_closed());
        let marks = jobs.first().map(|job| job.marks).unwrap_or_default();
        // What nobody waits for is counted by whoever made it.
        let is_told = jobs.iter().any(|job| !job.keep);
        let (mut requests, mut waiting, mut pending) = (Vec::new(), Vec::new(), Vec::new());
        for job in jobs {
            let items = job.request.items();
            requests.push(job.request);
            pending.push(job.pending);
            waiting.push((job.written, items));
        }
        let alone = requests.len() == 1;
        let requests = if alone { requests } else { wire::merge(requests, TOGETHER_BYTES) };
        let mut all = Written::default();
        for request in requests {
            let Ok(written) = self.write(request, marks) else { return };
            all.lines += written.lines;
            all.items += written.items;
            all.truncated_values += written.truncated_values;
            all.dropped_items += written.dropped_items;
        }
        self.counts.add(Count::Lines, all.lines);
        self.counts.add(if marks.spill { Count::Spilled } else { Count::Written }, all.items);
        self.counts.add(Count::Truncated, all.truncated_values);
        if is_told {
            self.counts.add(Count::TooLarge, all.dropped_items);
        }
        for (written, items) in waiting {
            let answer = if alone { all } else { Written { items, ..Written::default() } };
            // A receiver that has stopped waiting has answered 503, and the SDK will send the request again.
            written.send(answer).ok();
        }
    }

    fn write(&mut self, request: Request, marks: Marks) -> io::Result<Written> {
        let source = service_name(&request);
        let json_level = self.lines.json_level.as_deref();
        let envelope = Envelope {
            source: source.as_deref().unwrap_or(&self.service_name),
            level: json_level,
            unix_nanos: json_level.map(|_| clock::unix_nanos()),
            spill: marks.spill,
            partial: marks.partial,
        };
        let encoder = self.encoder.get_or_insert_with(|| {
            let max_bytes = self.lines.max_bytes;
            let limits = LineLimits { max_bytes, ..LineLimits::default() };
            LineEncoder::new(self.lines.compression_level, limits)
        });
        let mut lines = Vec::new();
        if std::mem::take(&mut self.is_behind_cut_line) {
            lines.push(b'\n');
        }
        let written = encoder.encode(&envelope, request, &mut lines);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            // Encoding takes its time.
            if self.progress.has_ended() {
                return Err(ErrorKind::BrokenPipe.into());
            }
            self.progress.switch();
            let result = write_whole(&mut self.writer, line);
            self.progress.switch();
            result?;
            self.counts.add(Count::LineBytes, line.len());
        }
        Ok(written)
    }
}

/// The first job and those behind it that may share its lines; and the next one, if it may not.
fn collect(first: Job, queue: &mut mpsc::Receiver<Job>) -> (Vec<Job>, Option<Job>) {
    let is_small = |job: &Job| job.request.bytes().len() <= SHARED_BYTES;
    let (mut items, mut bytes) = (first.request.items(), first.request.bytes().len());
    if !is_small(&first) {
        return (vec![first], None);
    }
    let marks = first.marks;
    let mut together = vec![first];
    while let Ok(job) = queue.try_recv() {
        items += job.request.items();
        bytes += job.request.bytes().len();
        let is_too_much = bytes > TOGETHER_BYTES || items > TOGETHER_ITEMS;
        if job.marks != marks || !is_small(&job) || is_too_much {
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
            // Another process has set O_NONBLOCK on the shared descriptor.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
    writer.flush()
}
