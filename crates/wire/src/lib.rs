//! Reads and writes OTLP lines: OTLP requests as single JSON lines on stdout.
//!
//! This crate is the contract between the function, which writes lines with [`LineEncoder`], and the forwarder, which reads them
//! with [`read_line`]. It also has the common path of the three signals ([`SignalKind`], [`Signal`]), ids, and the names of
//! resource attributes. `docs/line-format.md` specifies the format. The crate does no I/O, reads no variables and no clock, and
//! never panics.
//!
//! Features: `decode` reads lines, and `bulk` reads them faster with larger libraries. A function needs neither.
//!
//! # Modules
//!
//! - `line`: OTLP lines, with the marker of each kind. `encode` writes them (`envelope`). `read` reads the text of a log event:
//!   `walk` and `find` look for objects, `object` classifies each, `payload` decodes it. `headers` removes credentials, `rejoin`
//!   joins split lines, `java` knows what Java's loggers print before OTLP/JSON.
//! - `compact`: the content of a compact line. `encoder` (`write`, `write_text`) and `decode` (`read`, `read_text`) are the two
//!   directions, `header` says how to read a line, `context` has the names that a line leaves out because its reader knows them,
//!   `dictionary` the preset texts, `history` the earlier values to which later ones refer. Fields that `schema` lacks are
//!   carried as they are.
//! - `root_line` names an invocation's root span on a managed instance; `invocation_record` does so in a file, for the extension.
//! - `request`: an encoded request, which we count, split and join as bytes. `check` has the limits, `canonical` settles what a
//!   writer repeats, `merge` joins requests, `split` cuts one, `truncate` shortens it, and `invocation_spans` finds the spans that name their invocation.
//! - `json` converts OTLP/JSON: `read`, `write`, and `scalar` for values.
//! - `signal` has the three signals; other code is generic over them.
//! - `protobuf` is the reader and writer of fields.
//! - `view` reads messages, `edit` changes them.
//! - `schema` has the messages as tables, `field` the numbers, `depth` limits recursion.
//! - `reserved` has the names that we compute and content can't use; `stored_key` is the spelling in which OpenObserve stores
//!   keys.
//! - `fingerprint` makes the fingerprint of an exception without frames, for the library and for platform's.
//! - `gzip` compresses, and inflates up to a limit (`inflate`). `base64` and `base91` make text of bytes.
//! - `arn`, `ids` (trace ids, X-Ray headers), `resource` (names of attributes), `sampling`, `fnv` (hashes that stay the same
//!   across versions) and `timestamp` (RFC 3339) serve several programs.

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
pub use request::{
    ColumnFacts, Halve, Limits, MAX_REPEATED_BYTES, Malformed, Pieces, Request, Shortened,
    TRUNCATED, merge, shortened_text,
};
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
