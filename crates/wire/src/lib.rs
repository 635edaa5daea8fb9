//! The OTLP line: OTLP requests as single JSON lines on stdout, written and read.
//!
//! Everything that the function writes and the forwarder reads is agreed on here: the line
//! (written by [`LineEncoder`], read by [`read_line`]), the three signals behind one path
//! ([`SignalKind`], [`Signal`]), ids, and the names of resource attributes. The contract in words
//! is `docs/line-format.md`. This crate does no I/O, reads no variable and no clock, and panics
//! on no input.
//!
//! Features: `encode` writes lines, which is all that a function needs; `decode` reads them; `bulk` reads them faster, by
//! libraries that only a program carries that reads very many.

#![warn(missing_docs)]

#[cfg(any(feature = "encode", feature = "decode"))]
mod base64;
#[cfg(any(feature = "encode", feature = "decode"))]
pub mod gzip;
pub mod ids;
pub mod invocation_record;
#[cfg(feature = "decode")]
mod json;
mod line;
pub mod protobuf;
mod request;
pub mod resource;
mod schema;
mod signal;
pub mod timestamp;

#[cfg(feature = "decode")]
pub use base64::decode as decode_base64;
#[cfg(feature = "encode")]
pub use base64::push as push_base64;
#[cfg(feature = "decode")]
pub use json::JsonError;
pub use line::MARKER;
#[cfg(feature = "decode")]
pub use line::{
    DecodedLine, Joined, LineError, LineReading, PayloadError, Rejoin, UndecodableLine,
    mentions_otlp, read_line, without_headers,
};
#[cfg(feature = "encode")]
pub use line::{Envelope, LineEncoder, LineLimits, Written};
#[cfg(feature = "decode")]
pub use request::InvocationSpan;
pub use request::{EmbeddedLines, Limits, Malformed, Request, merge};
pub use signal::SignalKind;
#[cfg(feature = "decode")]
pub use signal::{Logs, Metrics, Signal, Traces};
