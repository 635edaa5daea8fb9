//! The progress of a command that takes long: one line on stderr, drawn again four times a second, on terminals only.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A command that ends sooner shows no progress.
const FIRST_AFTER: Duration = Duration::from_secs(2);
const REDRAW_AFTER: Duration = Duration::from_millis(250);
const BAR_CHARS: usize = 20;
/// Moves the cursor to the begin of the line, and erases the line.
const ERASE: &[u8] = b"\r\x1b[2K";

/// `true` while stderr ends in a line of progress. Lock stderr to read and to change it.
static IS_DRAWN: AtomicBool = AtomicBool::new(false);

/// Removes the line of progress from stderr, so that another text can take its place.
pub(crate) fn erase(stderr: &mut io::StderrLock<'_>) {
    if IS_DRAWN.swap(false, Ordering::Relaxed) {
        let _erased = stderr.write_all(ERASE);
    }
}

/// Like [`erase`], before a command prints to stdout, which may be the same terminal.
pub(crate) fn hide() {
    erase(&mut io::stderr().lock());
}

/// The counts of a running command.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    shared: Arc<AtomicCounts>,
}

#[derive(Debug)]
struct AtomicCounts {
    begun: Instant,
    done: AtomicUsize,
    /// 0 while the total is unknown.
    total: AtomicUsize,
    /// When the first unit was done, after the command's preparations.
    counting_since: OnceLock<Instant>,
}

impl Counts {
    pub(crate) fn new() -> Self {
        let shared = AtomicCounts {
            begun: Instant::now(),
            done: AtomicUsize::new(0),
            total: AtomicUsize::new(0),
            counting_since: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn set_total(&self, total: usize) {
        self.shared.total.store(total, Ordering::Relaxed);
    }

    pub(crate) fn set_done(&self, done: usize) {
        if done == 0 {
            return;
        }
        self.shared.counting_since.get_or_init(Instant::now);
        self.shared.done.store(done, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, done: usize) {
        self.set_done(self.shared.done.load(Ordering::Relaxed) + done);
    }

    fn state(&self) -> State {
        State {
            done: self.shared.done.load(Ordering::Relaxed),
            total: Some(self.shared.total.load(Ordering::Relaxed)).filter(|total| *total > 0),
            elapsed: self.shared.begun.elapsed(),
            counting: self.shared.counting_since.get().map(Instant::elapsed).unwrap_or_default(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct State {
    done: usize,
    total: Option<usize>,
    elapsed: Duration,
    /// The time in which `done` units were done.
    counting: Duration,
}

/// A line of progress until it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    counts: Counts,
    drawing: Option<Drawing>,
}

#[derive(Debug)]
struct Drawing {
    end: mpsc::SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Progress {
    /// Starts a line that begins with the plural of the counted units. Draws nothing if stderr is no terminal.
    pub(crate) fn start(units: &'static str) -> Self {
        let counts = Counts::new();
        let drawing = io::stderr().is_terminal().then(|| draw_in_background(units, counts.clone()));
        Self { counts, drawing }
    }

    /// Returns `true` if the counts are visible.
    pub(crate) fn is_drawn(&self) -> bool {
        self.drawing.is_some()
    }

    /// Returns the counts, which may be cloned for other tasks.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let Some(Drawing { end, thread }) = self.drawing.take() else { return };
        drop(end);
        let _joined = thread.join();
        erase(&mut io::stderr().lock());
    }
}

fn draw_in_background(units: &'static str, counts: Counts) -> Drawing {
    let (end, ended) = mpsc::sync_channel(1);
    let thread = std::thread::spawn(move || {
        let mut pause = FIRST_AFTER;
        while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            let line = line(units, counts.state());
            let mut stderr = io::stderr().lock();
            erase(&mut stderr);
            let _written = stderr.write_all(line.as_bytes()).and_then(|()| stderr.flush());
            IS_DRAWN.store(true, Ordering::Relaxed);
            drop(stderr);
            pause = REDRAW_AFTER;
        }
    });
    Drawing { end, thread }
}

/// The line, which fits into 80 columns.
fn line(units: &str, state: State) -> String {
    let State { done, total, elapsed, counting } = state;
    let seconds = counting.as_secs_f64();
    // The first unit starts the clock.
    let rate = if seconds > 0.0 && done > 1 { count(done - 1) / seconds } else { 0.0 };
    let rate_text = if rate > 0.0 { format!("  {}/s", short(rate)) } else { String::new() };
    let Some(total) = total else {
        let done_text = if done > 0 { format!("  {done}") } else { String::new() };
        return format!("{units}{done_text}{rate_text}  {}", duration(elapsed));
    };
    let done = done.min(total);
    let filled = done * BAR_CHARS / total;
    let bar = format!("{}{}", "#".repeat(filled), "-".repeat(BAR_CHARS - filled));
    let left = if rate > 0.0 {
        let left = Duration::from_secs_f64(count(total - done) / rate);
        format!("  {} left", duration(left))
    } else {
        format!("  {}", duration(elapsed))
    };
    format!("{units} [{bar}] {done} of {total}{rate_text}{left}")
}

#[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
fn count(units: usize) -> f64 {
    units as f64
}

fn short(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

fn duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_gives_rate_and_remaining_time() {
        let check = |done: usize, total: usize, seconds: u64, expected: &str| {
            let total = Some(total).filter(|total| *total > 0);
            let elapsed = Duration::from_secs(seconds + 3);
            let counting = if done > 0 { Duration::from_secs(seconds) } else { Duration::ZERO };
            let line = line("log groups", State { done, total, elapsed, counting });
            assert_eq!(line, expected);
            assert!(line.len() < 80, "{line}");
        };
        check(0, 0, 2, "log groups  5 s");
        check(101, 0, 10, "log groups  101  10/s  13 s");
        check(0, 5000, 2, "log groups [--------------------] 0 of 5000  5 s");
        check(
            1001,
            5000,
            200,
            "log groups [####----------------] 1001 of 5000  5.0/s  13 min 19 s left",
        );
        check(5000, 5000, 1000, "log groups [####################] 5000 of 5000  5.0/s  0 s left");
        check(
            100_001,
            20_000_000,
            10,
            "log groups [--------------------] 100001 of 20000000  10000/s  33 min 9 s left",
        );
        // A total that was too small.
        check(11, 10, 1, "log groups [####################] 10 of 10  10/s  0 s left");
    }
}
