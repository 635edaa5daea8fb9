//! A progress line on terminals with the number of letters read.

use super::summary::plural;
use std::io::{self, Write as _};

/// The line on stderr.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    is_shown: bool,
    /// The number of messages in the queue, as SQS reports it; `None` for a bucket.
    waiting: Option<usize>,
}

impl Progress {
    pub(crate) fn new(is_shown: bool, waiting: Option<usize>) -> Self {
        Self { is_shown, waiting }
    }

    /// Shows the number of letters read so far.
    pub(crate) fn show(&self, seen: usize) {
        if self.is_shown {
            eprint!("\r{}", self.line(seen));
            io::stderr().flush().ok();
        }
    }

    /// Clears the line for the next output.
    pub(crate) fn end(&self) {
        if self.is_shown {
            eprintln!();
        }
    }

    fn line(&self, seen: usize) -> String {
        let of = self.waiting.map(|waiting| format!(" of about {}", waiting.max(seen)));
        format!("looked at {}{}", plural(seen, "message"), of.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_many_there_are() {
        let line = |waiting, seen| Progress::new(true, waiting).line(seen);
        assert_eq!(line(Some(5000), 120), "looked at 120 messages of about 5000");
        assert_eq!(line(Some(1), 12), "looked at 12 messages of about 12");
        assert_eq!(line(None, 1), "looked at 1 message");
    }
}
