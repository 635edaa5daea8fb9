//! The events of the invocations.

use anyhow::{Context as _, bail};
use serde::de::IgnoredAny;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use tokio::sync::mpsc::{Receiver, channel};

pub(super) fn read(files: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let read = |file: &PathBuf| {
        let text = std::fs::read_to_string(file);
        let text = text.with_context(|| format!("--event: cannot read {}", file.display()))?;
        check(&text).with_context(|| format!("--event: {} is not JSON", file.display()))?;
        Ok(text)
    };
    files.iter().map(read).collect()
}

fn check(text: &str) -> serde_json::Result<()> {
    serde_json::from_str::<IgnoredAny>(text).map(drop)
}

/// Reads each line of standard input as an event, on a thread.
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

/// Reads an event from a line. At a terminal, an empty line is `{}`; elsewhere it is ignored.
fn event(line: &str, is_terminal: bool) -> Option<anyhow::Result<String>> {
    let line = line.trim();
    if line.is_empty() {
        return is_terminal.then(|| Ok("{}".to_owned()));
    }
    let checked = || -> anyhow::Result<String> {
        if let Err(error) = check(line) {
            bail!("the line is not JSON: {error}; each line must be one event");
        }
        Ok(line.to_owned())
    };
    Some(checked())
}
