//! The thread that writes lines. Requests that arrive together share a line.

use crate::clock;
use crate::config::LineFormat;
use crate::counts::{Count, Counts};
use crate::invocations::roots::service_name;
use crate::tasks;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use wire::compact::OwnedContext;
use wire::{Envelope, LineEncoder, LineLimits, Request, Written};

/// Requests up to this size share lines. A larger one gets its own lines, so that its sender learns how many items were too large
/// for a line.
const SHARED_BYTES: usize = 32 * 1024;
/// The size limit of requests that share lines.
const TOGETHER_BYTES: usize = 256 * 1024;
const TOGETHER_ITEMS: usize = 10_000;

/// Requests in the queue that arrived together.
pub(super) struct Job {
    pub(super) requests: Vec<Request>,
    /// Gets the number of items too large for a line when the lines are written; dropped if that failed.
    pub(super) written: oneshot::Sender<usize>,
    /// The requests are written even if its sender stopped waiting.
    pub(super) keep: bool,
    pub(super) spill: bool,
    /// The room that received requests occupy in memory, also if the sender is gone.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Job {
    fn items(&self) -> usize {
        self.requests.iter().map(Request::items).sum()
    }

    fn bytes(&self) -> usize {
        self.requests.iter().map(|request| request.bytes().len()).sum()
    }
}

/// The progress of the thread, and its permission to go on.
#[derive(Default)]
pub(super) struct Progress {
    /// Counts the beginnings and ends of writes, so it is odd during a write.
    writes: AtomicU64,
    /// The number of the last write that was found stuck, or 0.
    stuck: AtomicU64,
    /// The thread has taken jobs that it has not answered.
    is_busy: AtomicBool,
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

    /// Returns the number of the current write; `None` between writes.
    pub(super) fn current_write(&self) -> Option<u64> {
        Some(self.writes.load(Ordering::Relaxed)).filter(|number| number % 2 == 1)
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.current_write() == Some(self.stuck.load(Ordering::Relaxed))
    }

    /// Notes a write that is stuck. Returns `true` if it is the first one.
    pub(super) fn note_stuck(&self, write: u64) -> bool {
        self.stuck.swap(write, Ordering::Relaxed) == 0
    }

    /// Lets no further line begin. The thread is busy before it checks this, and the caller asks afterwards whether it is, so no
    /// line begins unnoticed.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::SeqCst)
    }
}

pub(super) struct Thread<W> {
    format: LineFormat,
    function: Arc<FunctionFacts>,
    /// The encoders are made when they are needed.
    encoder: Option<LineEncoder>,
    /// Encodes requests that no backend accepted.
    spill_encoder: Option<LineEncoder>,
    writer: W,
    progress: Arc<Progress>,
    /// The last line was written in part, so the next one needs a line break before it.
    is_cut_off: bool,
    /// The log already reports a failed write.
    has_logged_failure: bool,
    counts: Arc<Counts>,
}

/// Encoded lines, and the sums of what they contain and lack.
struct EncodedLines {
    lines: Vec<u8>,
    totals: Written,
}

impl<W: Write> Thread<W> {
    pub(super) fn new(
        format: &LineFormat,
        function: Arc<FunctionFacts>,
        writer: W,
        progress: Arc<Progress>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            format: format.clone(),
            function,
            encoder: None,
            spill_encoder: None,
            writer,
            progress,
            is_cut_off: false,
            has_logged_failure: false,
            counts,
        }
    }

    pub(super) fn run(&mut self, mut queue: mpsc::Receiver<Job>) {
        let mut next = None;
        while let Some(first) = next.take().or_else(|| queue.blocking_recv()) {
            let collected = collect(first, &mut queue);
            next = collected.next;
            self.progress.is_busy.store(true, Ordering::SeqCst);
            if tasks::catch(|| self.write_together(collected.together)).is_none() {
                // The encoders' buffers may be half filled.
                self.encoder = None;
                self.spill_encoder = None;
                self.is_cut_off |= self.progress.current_write().is_some();
                self.progress.end_write();
            }
            self.progress.is_busy.store(false, Ordering::SeqCst);
        }
    }

    fn write_together(&mut self, mut jobs: Vec<Job>) {
        if self.progress.has_ended() {
            return;
        }
        jobs.retain(|job| job.keep || !job.written.is_closed());
        let spill = jobs.first().is_some_and(|job| job.spill);
        // The makers of kept jobs count their losses themselves.
        let counts_losses = jobs.iter().any(|job| !job.keep);
        let mut requests = Vec::new();
        let mut answers = Vec::new();
        // The rooms are occupied until the lines are written.
        let mut rooms = Vec::new();
        for job in jobs {
            rooms.push(job.room);
            requests.extend(job.requests);
            answers.push(job.written);
        }
        let merged = match requests.len() {
            0 | 1 => requests,
            // Spilled requests were acknowledged, so they are written even if merging panics.
            _ if spill => {
                tasks::catch(|| wire::merge(requests.clone(), TOGETHER_BYTES)).unwrap_or(requests)
            }
            _ => wire::merge(requests, TOGETHER_BYTES),
        };
        let EncodedLines { lines, totals } = self.encode(merged, spill);
        if let Err(error) = self.write_lines(&lines) {
            self.note_failure(&error);
            return;
        }
        self.counts.add(if spill { Count::Spilled } else { Count::Written }, totals.items);
        self.counts.add(Count::Truncated, totals.truncated_values);
        if counts_losses {
            self.counts.add(Count::TooLarge, totals.dropped_items);
        }
        // Jobs that share lines are too small for items that do not fit a line.
        let dropped_items = if answers.len() == 1 { totals.dropped_items } else { 0 };
        for answer in answers {
            // If the receiver stopped waiting, it answered 503 and the SDK repeats the request.
            answer.send(dropped_items).ok();
        }
    }

    /// Encodes one compact line with all requests if they fit, otherwise the lines of each.
    fn encode(&mut self, requests: Vec<Request>, spill: bool) -> EncodedLines {
        let mut lines = if self.is_cut_off { vec![b'\n'] } else { Vec::new() };
        let kept = if spill { &mut self.spill_encoder } else { &mut self.encoder };
        let encoder = encoder(kept, &self.format, &self.function, spill);
        if requests.len() > 1 {
            let together: Vec<&Request> = requests.iter().collect();
            let envelope = self.format.envelope("", spill);
            if let Some(totals) = encoder.encode_together(&envelope, &together, &mut lines) {
                return EncodedLines { lines, totals };
            }
        }
        let mut totals = Written::default();
        for request in requests {
            let own_name = service_name(&request);
            let source = own_name.as_deref().unwrap_or(&self.function.service_name);
            let envelope = self.format.envelope(source, spill);
            let written = encoder.encode(&envelope, request, &mut lines);
            totals.items += written.items;
            totals.truncated_values += written.truncated_values;
            totals.dropped_items += written.dropped_items;
        }
        EncodedLines { lines, totals }
    }

    /// Reports the first failed write. Later ones are counted where their items are lost.
    fn note_failure(&mut self, error: &io::Error) {
        if !self.has_logged_failure && !self.progress.has_ended() {
            self.has_logged_failure = true;
            tracing::error!(%error, "cannot write to stdout: telemetry is refused until it can be written");
        }
    }

    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
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
        Ok(())
    }
}

/// Facts about the function that lines state or leave out.
#[derive(Debug, Default)]
pub(super) struct FunctionFacts {
    /// The service name of requests without one.
    pub(super) service_name: String,
    pub(super) region: String,
    /// Lambda's answer to register states it.
    pub(super) account: OnceLock<String>,
}

impl LineFormat {
    fn envelope<'a>(&'a self, source: &'a str, spill: bool) -> Envelope<'a> {
        let level = self.json_level.as_deref();
        let unix_nanos = level.map(|_| clock::unix_nanos());
        Envelope { source, level, unix_nanos, spill }
    }

    fn limits(&self, spill: bool) -> LineLimits {
        let limits = LineLimits { max_bytes: self.max_bytes, ..LineLimits::default() };
        if !spill {
            return limits;
        }
        // A subscription selects spilled lines by a filter for JSON, and Lambda splits longer lines into pieces that are none.
        let most = LineLimits::default().max_bytes;
        LineLimits { max_bytes: self.max_bytes.min(most), max_item_bytes: most }
    }
}

/// Returns the kept encoder, or makes it. Compact lines leave out neither the function's name nor the log stream: Lambda hides log
/// group and log stream from extensions, and a reader derives the function's name from them.
fn encoder<'e>(
    kept: &'e mut Option<LineEncoder>,
    format: &LineFormat,
    function: &FunctionFacts,
    spill: bool,
) -> &'e mut LineEncoder {
    let encoder = kept.get_or_insert_with(|| {
        let limits = format.limits(spill);
        if format.is_compact && !spill {
            LineEncoder::compact(OwnedContext::of_function("", &function.region, "", ""), limits)
        } else {
            LineEncoder::new(format.compression_level, limits)
        }
    });
    if let Some(account) = function.account.get() {
        encoder.set_account(account);
    }
    encoder
}

/// Jobs of the queue.
struct CollectedJobs {
    /// The jobs that may share lines.
    together: Vec<Job>,
    /// The job after them, if it was taken from the queue.
    next: Option<Job>,
}

/// Collects the jobs that may share lines with the first one.
fn collect(first: Job, queue: &mut mpsc::Receiver<Job>) -> CollectedJobs {
    let is_small = |job: &Job| job.bytes() <= SHARED_BYTES;
    if !is_small(&first) {
        return CollectedJobs { together: vec![first], next: None };
    }
    let spill = first.spill;
    let mut items = first.items();
    let mut bytes = first.bytes();
    let mut together = vec![first];
    while let Ok(job) = queue.try_recv() {
        items += job.items();
        bytes += job.bytes();
        let is_too_much = bytes > TOGETHER_BYTES || items > TOGETHER_ITEMS;
        if job.spill != spill || !is_small(&job) || is_too_much {
            return CollectedJobs { together, next: Some(job) };
        }
        together.push(job);
    }
    CollectedJobs { together, next: None }
}

/// Writes a whole line, in several parts if the pipe accepts only parts. Sets `is_cut_off` if only a part of the line is written.
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

#[cfg(test)]
mod tests {
    use super::*;
    use wire::SignalKind;

    /// Returns how many of these requests share each line. They have these bytes and items, and may be spilled.
    fn jobs_per_line(requests: &[(usize, usize, bool)]) -> Vec<usize> {
        let (sender, mut queue) = mpsc::channel(requests.len());
        for (bytes, items, spill) in requests {
            let job = Job {
                requests: vec![Request::counted(SignalKind::Traces, vec![0; *bytes], *items)],
                written: oneshot::channel().0,
                keep: true,
                spill: *spill,
                room: None,
            };
            assert!(sender.try_send(job).is_ok());
        }
        let mut shared = Vec::new();
        let mut next = None;
        while let Some(first) = next.take().or_else(|| queue.try_recv().ok()) {
            let collected = collect(first, &mut queue);
            next = collected.next;
            shared.push(collected.together.len());
        }
        shared
    }

    #[test]
    fn requests_share_lines_within_limits_of_bytes_and_items() {
        let own = false;
        let spill = true;
        for (requests, expected) in [
            (vec![(10_000, 1, own); 3], &[3][..]),
            // 32 KiB each, and 256 KiB together.
            (vec![(SHARED_BYTES, 1, own); 9], &[8, 1]),
            (vec![(1, 1, own), (SHARED_BYTES + 1, 1, own), (1, 1, own)], &[1, 1, 1]),
            // 10,000 items.
            (vec![(1, 5000, own); 3], &[2, 1]),
            (vec![(1, 1, own), (1, 1, own), (1, 1, spill), (1, 1, own)], &[2, 1, 1]),
        ] {
            assert_eq!(jobs_per_line(&requests), expected, "{requests:?}");
        }
    }
}
