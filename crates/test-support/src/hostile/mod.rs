//! Hostile content: families of log events and requests made to need more than linear time or memory, or a deep stack.
//!
//! A family is a row: where its content arrives, and what is repeated in it. Tests bound the steps, the stack and the memory that
//! readers need for them; `cargo xtask hostile` measures instructions.

mod otlp;
mod texts;

use wire::SignalKind;

/// A kind of hostile content, in any size.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    pub place: Place,
    /// The limit of growth: instructions a byte for content of four times the size, divided by those for the content.
    pub max_growth: f64,
    content: Content,
}

/// The reader of a family's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A log event of a function whose first bytes are meant to look like a logger's head.
    Head,
    /// Any other log event of a function.
    LogEvent,
    /// Log events of one stream, one a line, each with its own head.
    Heads,
    /// Other log events of one stream, one a line.
    LogEvents,
    /// A log event of the log group of X-Ray's spans.
    SpanLine,
    /// A body of Lambda's Telemetry API.
    Telemetry,
    /// OTLP/JSON that a function sends to the extension.
    OtlpJson(SignalKind),
    /// A datagram for X-Ray's daemon.
    XRay,
}

#[derive(Debug)]
enum Content {
    /// A part that is repeated. In it, `{n}` stands for the number of the repetition.
    Repeated {
        begin: &'static str,
        unit: &'static str,
        end: &'static str,
    },
    /// Levels around a centre.
    Nested {
        begin: &'static str,
        open: &'static str,
        centre: &'static str,
        close: &'static str,
        end: &'static str,
    },
    Made(fn(usize) -> String),
}

impl Family {
    const fn new(name: &'static str, place: Place, content: Content) -> Self {
        Self { name, place, max_growth: 1.1, content }
    }

    /// A family whose larger content is cut into more requests that repeat its resource, up to a limit in bytes.
    const fn cut(self) -> Self {
        Self { max_growth: 3.0, ..self }
    }

    /// Makes content of about this number of bytes. An OTLP line has them before compression.
    pub fn content(&self, bytes: usize) -> String {
        match self.content {
            Content::Repeated { begin, unit, end } => repeated(bytes, begin, unit, end),
            Content::Nested { begin, open, centre, close, end } => {
                let around = begin.len() + centre.len() + end.len();
                let levels = bytes.saturating_sub(around) / (open.len() + close.len());
                let opened = open.repeat(levels);
                let closed = close.repeat(levels);
                [begin, &opened, centre, &closed, end].concat()
            }
            Content::Made(make) => make(bytes),
        }
    }
}

fn repeated(bytes: usize, begin: &str, unit: &str, end: &str) -> String {
    let mut text = begin.to_owned();
    let mut number = 0;
    while text.len() + end.len() < bytes {
        match unit.split_once("{n}") {
            Some(_) => text.push_str(&unit.replace("{n}", &number.to_string())),
            None => text.push_str(unit),
        }
        number += 1;
    }
    text.push_str(end);
    text
}

/// All families.
pub fn families() -> impl Iterator<Item = &'static Family> {
    texts::HEADS.iter().chain(texts::TEXTS).chain(otlp::LINES)
}

/// An ordinary line, with which tests compare hostile ones: the time, the level and a sentence.
pub const PLAIN: Family = Family::new(
    "plain lines",
    Place::Heads,
    Content::Repeated {
        begin: "",
        unit: "2026-11-28T03:15:54.377Z INFO order {n} of customer 815 is packed and waits for the courier at door 4\n",
        end: "",
    },
);
