//! Reads and writes OTLP lines: OTLP requests as single JSON lines on stdout.
//!
//! This crate is the contract between the function, which writes lines with [`LineEncoder`], and the forwarder, which reads them
//! with [`read_line`]. It also has the common path of the three signals ([`SignalKind`], [`Signal`]), ids, and the names of
//! resource attributes. `docs/line-format.md` specifies the format. The crate does no I/O, reads no variables and no clock, and
//! never panics.
//!
//! Features: `decode` reads lines, and `bulk` reads them faster with larger libraries. A function needs neither.

#![cfg_attr(
    not(feature = "decode"),
    allow(dead_code, unused_imports, reason = "a function reads no lines")
)]

pub mod arn;
mod base64;
mod base91;
pub mod compact;
mod depth;
pub mod edit;
pub mod field;
pub mod fingerprint;
pub mod fnv;
pub mod gzip;
pub mod ids;
pub mod invocation_record;
#[cfg(feature = "decode")]
mod json;
mod line;
pub mod protobuf;
#[cfg(test)]
#[cfg(feature = "decode")]
mod random_request;
mod request;
#[cfg(feature = "decode")]
pub mod reserved;
pub mod resource;
mod root_line;
pub mod sampling;
mod schema;
mod signal;
mod stored_key;
pub mod timestamp;
pub mod view;

pub use base64::{decode as decode_base64, push as push_base64};
pub use depth::Depth;
pub use line::{COMPACT_MARKER, Envelope, LineEncoder, LineLimits, MARKER, Written};
pub use request::{Limits, Malformed, Request, Shortened, TRUNCATED, merge, shortened_text};
pub use root_line::RootLine;
pub use signal::SignalKind;
pub use stored_key::{stored_byte, stored_key, stored_stream};
#[cfg(feature = "decode")]
pub use {
    json::JsonError,
    line::{
        Joined, LineError, LineReading, Rejoin, UndecodableLine, mentions_otlp, read_line,
        read_line_of, without_headers,
    },
    request::{FUNCTION_SCOPES, LIBRARY_SCOPE, PLATFORM_SCOPE, RootWriter, SpanError, SpanIds},
    signal::{Logs, Metrics, Signal, Traces},
};
