//! The OTLP line: OTLP requests as single JSON lines on stdout, written and read.
//!
//! Everything that the function writes and the forwarder reads is agreed on here: the line
//! ([`encode`](LineEncoder), [`read`](read_line)), the three signals behind one path
//! ([`SignalKind`], [`Signal`]), ids, and the names of resource attributes. The contract in words
//! is `docs/line-format.md`. This crate does no I/O, reads no variable and no clock, and panics
//! on no input.
//!
//! Features: `encode` is what a function carries, `decode` what a reader of lines carries, `bulk` what a reader of very
//! many lines carries beside it.

#![warn(missing_docs)]

#[cfg(feature = "encode")]
mod encode;
#[cfg(feature = "decode")]
mod envelope;
#[cfg(feature = "decode")]
mod find;
pub mod gzip;
#[cfg(feature = "decode")]
mod headers;
pub mod ids;
pub mod invocation_record;
#[cfg(feature = "decode")]
mod json;
#[cfg(feature = "decode")]
mod json_error;
#[cfg(feature = "decode")]
mod json_scalar;
#[cfg(feature = "decode")]
mod json_write;
#[cfg(feature = "bulk")]
mod libdeflate;
#[cfg(feature = "decode")]
mod line;
mod merge;
#[cfg(feature = "decode")]
mod payload;
pub mod proto;
#[cfg(feature = "decode")]
mod rejoin;
mod request;
pub mod resource;
mod schema;
mod signal;
mod split;
pub mod timestamp;
#[cfg(feature = "encode")]
#[cfg(feature = "encode")]
mod truncate;
#[cfg(feature = "decode")]
mod walk;

#[cfg(feature = "encode")]
pub use encode::{Envelope, LineEncoder, LineLimits, Written};
#[cfg(feature = "decode")]
pub use headers::{without_headers, without_headers_of_lines};
#[cfg(feature = "decode")]
pub use json_error::JsonError;
#[cfg(feature = "decode")]
pub use line::{DecodedLine, LineError, LineReading, UndecodableLine, read_line};
pub use merge::merge;
#[cfg(feature = "decode")]
pub use payload::{PayloadError, decode_standard as decode_base64};
#[cfg(feature = "decode")]
pub use rejoin::{Joined, Rejoin};
pub use request::{Limits, Malformed, Request};
#[cfg(feature = "decode")]
pub use signal::{Logs, Metrics, Signal, Traces};
pub use signal::{Rejected, SignalKind};

/// The key that marks a JSON object as an OTLP line.
pub const MARKER: &str = "__otel_otlp_stdout";
