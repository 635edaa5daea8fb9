//! Reads and writes OTLP lines: OTLP requests as single JSON lines on stdout.
//!
//! This crate is the contract between the function, which writes lines with [`LineEncoder`], and the forwarder, which reads them
//! with [`read_line`]. It also has the common path of the three signals ([`SignalKind`], [`Signal`]), ids, and the names of
//! resource attributes. `docs/line-format.md` specifies the format. The crate does no I/O, reads no variables and no clock, and
//! never panics.
//!
//! Features: `encode` writes lines, all that a function needs; `decode` reads them; `bulk` reads them faster with larger
//! libraries.

#![warn(missing_docs)]

#[cfg(any(feature = "encode", feature = "decode"))]
mod base64;
#[cfg(any(feature = "encode", feature = "decode"))]
mod base91;
#[cfg(any(feature = "encode", feature = "decode"))]
pub mod compact;
pub mod edit;
pub mod field;
#[cfg(any(feature = "encode", feature = "decode"))]
pub mod gzip;
pub mod ids;
pub mod invocation_record;
#[cfg(feature = "decode")]
mod json;
mod line;
pub mod protobuf;
#[cfg(all(test, feature = "encode", feature = "decode"))]
mod random_request;
mod request;
pub mod resource;
mod schema;
mod signal;
pub mod timestamp;
pub mod view;

#[cfg(feature = "decode")]
pub use base64::decode as decode_base64;
#[cfg(feature = "encode")]
pub use base64::push as push_base64;
#[cfg(feature = "decode")]
pub use json::JsonError;
pub use line::{COMPACT_MARKER, MARKER};
#[cfg(feature = "encode")]
pub use line::{Envelope, LineEncoder, LineLimits, Written};
#[cfg(feature = "decode")]
pub use line::{
    Joined, LineError, LineReading, PayloadError, Rejoin, UndecodableLine, mentions_otlp,
    read_line, read_line_of, without_headers,
};
#[cfg(feature = "decode")]
pub use request::SpanIds;
pub use request::{Limits, Malformed, Request, merge};
pub use signal::SignalKind;
#[cfg(feature = "decode")]
pub use signal::{Logs, Metrics, Signal, Traces};
