//! The events that the function is invoked with.

use anyhow::{Context as _, bail};
use serde::de::IgnoredAny;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use tokio::sync::mpsc::{Receiver, channel};

/// The text of each file, which is JSON.
pub(super) fn read(files: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let read = |file: &PathBuf| {
        let text = std::fs::read_to_string(file);
        let text = text.with_context(|| format!("--event: cannot read {}", file.display()))?;
        check(&text).with_context(|| format!("--event: {} is no JSON", file.display()))?;
        Ok(text)
    };
    files.iter().map(read).collect()
}

fn check(text: &str) -> serde_json::Result<()> {
    serde_json::from_str::<IgnoredAny>(text).map(drop)
}

/// The lines of standard input, read on a thread: an event each, or why a line is none.
pub(super) fn of_standard_input() -> Receiver<anyhow::Result<String>> {
    let (sender, lines) = channel(1);
    std::thread::spawn(move || {
        let is_terminal = io::stdin().is_terminal();
        loop {
            if is_terminal {
                eprint!("event> ");
                io::stderr().flush().ok();
            }
            let mut line = String::new();
            let event = match io::stdin().lock().read_line(&mut line) {
                Ok(0) => return,
                Ok(_) => event(&line, is_terminal),
                Err(error) => Some(Err(anyhow::Error::from(error).context("standard input"))),
            };
            let Some(event) = event else { continue };
            let has_failed = event.is_err();
            if sender.blocking_send(event).is_err()
                || (has_failed && !is_terminal && line.is_empty())
            {
                return;
            }
        }
    });
    lines
}

/// The event of a line; an empty one at a terminal is `{}`, else nothing.
fn event(line: &str, is_terminal: bool) -> Option<anyhow::Result<String>> {
    let line = line.trim();
    if line.is_empty() {
        return is_terminal.then(|| Ok("{}".to_owned()));
    }
    let checked = || -> anyhow::Result<String> {
        if let Err(error) = check(line) {
            bail!("that line is no JSON, and an event is one line of it: {error}");
        }
        Ok(line.to_owned())
    };
    Some(checked())
}
