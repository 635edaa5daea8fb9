//! A line that says how far a replay is, on terminals only.

use std::io::{self, Write as _};

const WIDTH: usize = 30;

/// The line on stderr.
pub(crate) struct Progress {
    is_shown: bool,
}

impl Progress {
    pub(crate) fn new(is_shown: bool) -> Self {
        Self { is_shown }
    }

    /// Shows the share of the time range that is done, and the events so far.
    pub(crate) fn show(&mut self, done_ms: i64, all_ms: i64, events: usize) {
        if self.is_shown {
            eprint!("\r{}", line(done_ms, all_ms, events));
            io::stderr().flush().ok();
        }
    }

    /// Leaves the line to what is printed next.
    pub(crate) fn end(&mut self) {
        if self.is_shown {
            eprintln!();
        }
    }
}

fn line(done_ms: i64, all_ms: i64, events: usize) -> String {
    let done = done_ms.clamp(0, all_ms.max(1));
    let percent = done.saturating_mul(100) / all_ms.max(1);
    let filled = usize::try_from(percent).unwrap_or_default() * WIDTH / 100;
    let bar = format!("{}{}", "#".repeat(filled), "-".repeat(WIDTH - filled.min(WIDTH)));
    format!("[{bar}] {percent:>3}%  {events} log events")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_shows_the_share() {
        let empty = "-".repeat(30);
        assert_eq!(line(0, 1000, 0), format!("[{empty}]   0%  0 log events"));
        assert_eq!(line(1000, 1000, 7), format!("[{}] 100%  7 log events", "#".repeat(30)));
        assert_eq!(line(5, 0, 1), format!("[{}] 100%  1 log events", "#".repeat(30)));
        assert!(line(500, 1000, 1).starts_with("[###############---"));
    }
}
