//! The thread that writes lines. Requests that arrive together share a line.

use crate::clock;
use crate::config::LineFormat;
use crate::counts::{Count, Counts};
use crate::otlp_fields::service_name;
use crate::panics;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use wire::{Envelope, LineEncoder, LineLimits, Request, Written};

/// Requests up to this size share lines. A larger one gets its own lines, so that its sender learns how many items were too large for
/// a line.
const SHARED_BYTES: usize = 32 * 1024;
const TOGETHER_BYTES: usize = 256 * 1024;
const TOGETHER_ITEMS: usize = 10_000;

/// A request in the queue.
pub(super) struct Job {
    pub(super) request: Request,
    /// Gets the result when the lines are written; dropped if that failed.
    pub(super) written: oneshot::Sender<Written>,
    /// Set before the first byte is written.
    pub(super) begun: Arc<AtomicBool>,
    /// The request is written even if its sender stopped waiting.
    pub(super) keep: bool,
    pub(super) marks: Marks,
    pub(super) pending: Pending,
}

/// Counts a request while it is in the queue or in the thread.
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

/// The marks in the lines of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// The request was meant for a backend.
    pub(crate) spill: bool,
    /// The request contains partial spans.
    pub(crate) partial: bool,
}

/// The progress of the thread, and its permission to go on.
#[derive(Default)]
pub(super) struct Progress {
    /// Counts the beginnings and ends of writes, so it is odd during a write.
    writes: AtomicU64,
    has_ended: AtomicBool,
}

impl Progress {
    fn begin_write(&self) {
        self.writes.fetch_or(1, Ordering::Relaxed);
    }

    fn end_write(&self) {
        // Only the thread writes, so this is no race.
        let next = self.writes.load(Ordering::Relaxed).next_multiple_of(2);
        self.writes.store(next, Ordering::Relaxed);
    }

    /// Returns the number of the current write.
    pub(super) fn current(&self) -> Option<u64> {
        Some(self.writes.load(Ordering::Relaxed)).filter(|number| number % 2 == 1)
    }

    /// Lets no further line begin. The thread checks this after the request became [`Pending`], and the caller reads `pending`
    /// afterwards, so no line begins unnoticed.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }
}

/// Takes requests out of the queue and writes their lines.
pub(super) struct Thread<W> {
    lines: LineFormat,
    service_name: String,
    encoder: Option<LineEncoder>,
    writer: W,
    progress: Arc<Progress>,
    /// The last line was written in part, so the next one needs a line break before it.
    is_cut_off: bool,
    counts: Arc<Counts>,
}

impl<W: Write> Thread<W> {
    pub(super) fn new(
        lines: &LineFormat,
        service_name: &str,
        writer: W,
        progress: Arc<Progress>,
        counts: Arc<Counts>,
    ) -> Self {
        let (lines, service_name) = (lines.clone(), service_name.to_owned());
        Self { lines, service_name, encoder: None, writer, progress, is_cut_off: false, counts }
    }

    pub(super) fn run(&mut self, mut queue: mpsc::Receiver<Job>) {
        let mut next = None;
        while let Some(first) = next.take().or_else(|| queue.blocking_recv()) {
            let together;
            (together, next) = collect(first, &mut queue);
            if panics::catch(|| self.write_together(together)).is_none() {
                // The encoder's buffers may be half filled.
                self.encoder = None;
                self.is_cut_off |= self.progress.current().is_some();
                self.progress.end_write();
            }
        }
    }

    fn write_together(&mut self, mut jobs: Vec<Job>) {
        if self.progress.has_ended() {
            return;
        }
        // Mark jobs as begun before looking for closed channels. A sender that gives up does both in the other order, so an abandoned
        // job is either never written or known to be begun.
        for job in &jobs {
            job.begun.store(true, Ordering::SeqCst);
        }
        jobs.retain(|job| job.keep || !job.written.is_closed());
        let marks = jobs.first().map(|job| job.marks).unwrap_or_default();
        // The makers of kept jobs count their losses themselves.
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
            // If the receiver stopped waiting, it answered 503 and the SDK repeats the request.
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
        if self.is_cut_off {
            lines.push(b'\n');
        }
        let written = encoder.encode(&envelope, request, &mut lines);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if self.progress.has_ended() {
                return Err(ErrorKind::BrokenPipe.into());
            }
            self.progress.begin_write();
            let result = write_whole(&mut self.writer, line, &mut self.is_cut_off);
            self.progress.end_write();
            result?;
            self.counts.add(Count::LineBytes, line.len());
        }
        Ok(written)
    }
}

/// Collects the jobs that may share lines with the first one. Also returns the next job if it may not.
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

/// Writes a whole line, in several parts if the pipe accepts only parts. `is_cut_off` is `true` if it returns or panics in between.
fn write_whole(writer: &mut impl Write, mut line: &[u8], is_cut_off: &mut bool) -> io::Result<()> {
    while !line.is_empty() {
        match writer.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(taken) => {
                line = line.get(taken..).unwrap_or_default();
                *is_cut_off = !line.is_empty();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Another process has set O_NONBLOCK on the shared descriptor.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
    while let Err(error) = writer.flush() {
        match error.kind() {
            ErrorKind::Interrupted => {}
            ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
            _ => return Err(error),
        }
    }
    Ok(())
}
