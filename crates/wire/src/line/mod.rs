//! The OTLP line, specified in `docs/line-format.md`.
//!
//! [`encode`] writes the lines of a request, each an [`envelope`] around a payload. [`read`] walks through the text of a log
//! event ([`walk`], [`find`]), classifies each JSON [`object`], and decodes its [`payload`]. [`headers`] removes credentials from
//! stored text, and [`rejoin`] joins the pieces of a cut line.

mod encode;
mod envelope;
#[cfg(feature = "decode")]
mod find;
#[cfg(feature = "decode")]
mod headers;
#[cfg(feature = "decode")]
mod java;
#[cfg(feature = "decode")]
mod object;
#[cfg(feature = "decode")]
mod payload;
#[cfg(feature = "decode")]
mod read;
#[cfg(feature = "decode")]
mod reading;
#[cfg(feature = "decode")]
mod rejoin;
#[cfg(feature = "decode")]
mod walk;

pub use encode::{LineEncoder, LineLimits, Written};
pub use envelope::Envelope;
#[cfg(feature = "decode")]
pub use {
    find::mentions_otlp,
    headers::without_headers,
    read::{read_line, read_line_of},
    reading::{LineError, LineReading, UndecodableLine},
    rejoin::{Joined, Rejoin},
};

/// The key that marks a JSON object as an OTLP line.
pub const MARKER: &str = "__otel_otlp_stdout";

/// The key of a compact line, whose value is its content.
pub const COMPACT_MARKER: &str = "_otelc";
