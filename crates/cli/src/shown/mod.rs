//! Shows telemetry as it arrives. It is held briefly, so that related items appear together, and then passed to a view.

pub(crate) mod choice;
pub(crate) mod held;
pub(crate) mod json;
pub(crate) mod text;

use crate::lines::{self, Found, Joining, Line, MAX_LINE_BYTES, Writer};
use held::Held;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use wire::{LineReading, Request};

/// Held telemetry is shown after a pause of this length, because the lines of an invocation arrive together.
const QUIET: Duration = Duration::from_millis(300);
const MOST_ITEMS: usize = 10_000;

pub(crate) enum Incoming {
    Line(Line),
    /// Telemetry made from log events.
    Requests(Vec<Request>),
    /// Text between the telemetry, in order.
    Text(String),
    Said(String),
    /// The error of an OTLP line that cannot be decoded.
    Wrong(String),
    Failed(anyhow::Error),
}

pub(crate) trait View {
    fn show(&mut self, held: Held) -> io::Result<()>;
    fn line(&mut self, line: &str) -> io::Result<()>;
}

#[derive(Default)]
pub(crate) struct Ended {
    /// The number of OTLP lines that cannot be decoded.
    pub(crate) wrong: usize,
    pub(crate) failed: Vec<anyhow::Error>,
}

impl Ended {
    pub(crate) fn is_fine(&self) -> bool {
        self.wrong == 0 && self.failed.is_empty()
    }
}

/// Shows input until its end, including the telemetry before an error.
pub(crate) fn show_all(
    incoming: &Receiver<Incoming>,
    writer: Writer,
    view: &mut dyn View,
) -> io::Result<Ended> {
    let mut showing = Showing {
        view,
        number: 0,
        joining: Joining::new(writer),
        held: Held::default(),
        ended: Ended::default(),
    };
    loop {
        // Held telemetry limits the wait for the next line.
        let next = if showing.holds_anything() {
            incoming.recv_timeout(QUIET)
        } else {
            incoming.recv().map_err(RecvTimeoutError::from)
        };
        match next {
            Ok(Incoming::Failed(error)) => showing.ended.failed.push(error),
            Ok(incoming) => showing.take(incoming)?,
            Err(RecvTimeoutError::Timeout) => showing.show()?,
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    showing.show()?;
    Ok(showing.ended)
}

struct Showing<'a> {
    view: &'a mut dyn View,
    number: usize,
    joining: Joining,
    held: Held,
    ended: Ended,
}

impl Showing<'_> {
    fn holds_anything(&self) -> bool {
        self.held.items() > 0 || self.joining.is_waiting()
    }

    fn take(&mut self, incoming: Incoming) -> io::Result<()> {
        match incoming {
            Incoming::Line(Line::Text(line)) => {
                self.number += 1;
                let found = self.joining.take(self.number, line);
                self.take_found(found)?;
            }
            Incoming::Line(Line::TooLong) => {
                self.number += 1;
                let text = format!("skipped: the line is longer than {MAX_LINE_BYTES} bytes");
                self.wrong(&format!("line {}: {text}", self.number));
            }
            Incoming::Requests(requests) => {
                for request in &requests {
                    self.held.add(request);
                }
            }
            Incoming::Said(text) => eprintln!("{text}"),
            Incoming::Wrong(text) => self.wrong(&text),
            Incoming::Text(text) => {
                self.show()?;
                self.view.line(&text)?;
            }
            Incoming::Line(Line::End) | Incoming::Failed(_) => {}
        }
        if self.held.items() > MOST_ITEMS { self.show() } else { Ok(()) }
    }

    fn wrong(&mut self, text: &str) {
        self.ended.wrong += 1;
        eprintln!("{text}");
    }

    fn take_found(&mut self, found: Vec<(usize, Found)>) -> io::Result<()> {
        for (number, found) in found {
            match found {
                Found::Otlp(reading) => self.take_reading(number, &reading)?,
                Found::Other(line) if line.trim().is_empty() => {}
                Found::Other(line) => self.view.line(&line)?,
            }
        }
        Ok(())
    }

    fn take_reading(&mut self, number: usize, reading: &LineReading) -> io::Result<()> {
        for line in &reading.decoded {
            self.held.add(&line.request);
        }
        for undecodable in &reading.undecodable {
            let reason = lines::reason(&undecodable.reason);
            self.wrong(&format!("line {number}: {reason} ({} bytes)", undecodable.bytes));
        }
        match &reading.text {
            Some(text) if !text.trim().is_empty() => self.view.line(text.trim_end()),
            _ => Ok(()),
        }
    }

    fn show(&mut self) -> io::Result<()> {
        let rest = self.joining.rest();
        self.take_found(rest)?;
        let held = std::mem::take(&mut self.held);
        if held.items() > 0 { self.view.show(held) } else { Ok(()) }
    }
}
