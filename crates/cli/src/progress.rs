//! A progress line on stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

/// The progress line; hidden by default.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Shows the line on a terminal, unless stdout has JSON for a program.
    pub(crate) fn new(is_json: bool) -> Self {
        Self { is_shown: !is_json && io::stderr().is_terminal() }
    }

    /// Replaces the text. A later text must not be shorter.
    pub(crate) fn show(&self, text: impl Display) {
        if self.is_shown {
            eprint!("\r{text}");
            io::stderr().flush().ok();
        }
    }

    pub(crate) fn end(&self) {
        if self.is_shown {
            eprintln!();
        }
    }
}
