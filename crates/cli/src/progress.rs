//! The progress of a command that takes long: one line on stderr, drawn again four times a second, on terminals only.

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A command that ends sooner shows no progress.
const FIRST_AFTER: Duration = Duration::from_secs(2);
const REDRAW_AFTER: Duration = Duration::from_millis(250);
const REDRAWS_PER_SECOND: u8 = 4;

const WITHOUT_TOTAL: &str = "{prefix}{count}  {pace}";
const WITH_TOTAL: &str = "{prefix} [{bar:20}] {pos} of {len}  {pace}";
const BYTES: &str = "{prefix} [{bar:20}] {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left";

/// The line on the screen.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn set_shown(bar: Option<ProgressBar>) {
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// Prints while no progress is on the screen, also to stdout, which may be the same terminal.
pub(crate) fn suspend<T>(print: impl FnOnce() -> T) -> T {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match shown {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

/// The counts of a running command.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    bar: ProgressBar,
}

impl Tally {
    /// Starts counts that are not shown.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Self { bar: bar.with_style(style(WITHOUT_TOTAL)) }
    }

    pub(crate) fn set_total(&self, total: usize) {
        if total > 0 {
            self.bar.set_style(style(WITH_TOTAL));
            self.bar.set_length(total as u64);
        }
    }

    /// Counts the bytes that are read from an input, in place of other units.
    pub(crate) fn count_bytes(&self, input: File) -> io::Result<impl Read + Send + use<>> {
        let bytes = input.metadata()?.len();
        // A pipe has no length.
        if bytes > 0 {
            self.bar.set_style(style(BYTES));
            self.bar.set_length(self.bar.length().unwrap_or_default() + bytes);
        }
        Ok(self.bar.wrap_read(input))
    }

    pub(crate) fn set_done(&self, done: usize) {
        self.change(|bar| bar.set_position(done as u64));
    }

    pub(crate) fn add(&self, done: usize) {
        self.change(|bar| bar.inc(done as u64));
    }

    fn change(&self, change: impl FnOnce(&ProgressBar)) {
        let is_first = self.bar.position() == 0;
        change(&self.bar);
        if is_first {
            // The first units start the clock of rate and remaining time, after the command's preparations.
            self.bar.reset_eta();
        }
    }
}

/// A line of progress until it is dropped.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    counts: Tally,
    /// `None` if the line is not drawn.
    drawing: Option<Drawing>,
}

/// The thread that shows the line, unless the command ends before.
#[derive(Debug)]
struct Drawing {
    /// Dropped to end the thread.
    end: mpsc::SyncSender<()>,
    thread: JoinHandle<()>,
}

impl ProgressLine {
    /// Starts a line that begins with the plural of the counted units. Draws nothing if stderr is no terminal.
    pub(crate) fn start(units: &'static str) -> Self {
        let mut progress = Self::hidden();
        if io::stderr().is_terminal() {
            let bar = progress.counts.bar.clone().with_prefix(units);
            progress.drawing = Some(draw_later(bar));
        }
        progress
    }

    /// Counts without a line.
    pub(crate) fn hidden() -> Self {
        Self { counts: Tally::new(), drawing: None }
    }

    /// Returns `true` if the counts are visible, now or later.
    pub(crate) fn is_drawn(&self) -> bool {
        self.drawing.is_some()
    }

    /// Returns the counts, which may be cloned for other tasks.
    pub(crate) fn counts(&self) -> &Tally {
        &self.counts
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        let Some(Drawing { end, thread }) = self.drawing.take() else { return };
        drop(end);
        let _joined = thread.join();
        set_shown(None);
        self.counts.bar.finish_and_clear();
    }
}

fn draw_later(bar: ProgressBar) -> Drawing {
    let (end, ended) = mpsc::sync_channel(1);
    let thread = std::thread::spawn(move || {
        if ended.recv_timeout(FIRST_AFTER) == Err(RecvTimeoutError::Timeout) {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND));
            bar.enable_steady_tick(REDRAW_AFTER);
            set_shown(Some(bar));
        }
    });
    Drawing { end, thread }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("#-")
        .with_key("count", |state: &ProgressState, out: &mut dyn Write| {
            if state.pos() > 0 {
                let _written = write!(out, "  {}", state.pos());
            }
        })
        .with_key("pace", |state: &ProgressState, out: &mut dyn Write| {
            let left = state.len().map(|_| state.eta());
            let _written = out.write_str(&pace(state.per_sec(), left, state.elapsed()));
        })
}

/// Returns the rate, and the remaining time if it is known, else the elapsed time.
fn pace(rate: f64, left: Option<Duration>, elapsed: Duration) -> String {
    let elapsed_text = HumanDuration(elapsed);
    if rate <= 0.0 {
        return elapsed_text.to_string();
    }
    let rate_text = if rate < 10.0 { format!("{rate:.1}/s") } else { format!("{rate:.0}/s") };
    match left {
        Some(left) => format!("{rate_text}  {} left", HumanDuration(left)),
        None => format!("{rate_text}  {elapsed_text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_gives_rate_and_remaining_time() {
        let check = |rate: f64, left: Option<u64>, expected: &str| {
            let left = left.map(Duration::from_secs);
            assert_eq!(pace(rate, left, Duration::from_secs(5)), expected);
        };
        check(0.0, None, "5 seconds");
        check(0.0, Some(0), "5 seconds");
        check(9.96, None, "10.0/s  5 seconds");
        check(5.0, Some(799), "5.0/s  13 minutes left");
        check(10_000.0, Some(1990), "10000/s  33 minutes left");
    }

    #[test]
    fn each_template_is_valid() {
        for template in [WITHOUT_TOTAL, WITH_TOTAL, BYTES] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
