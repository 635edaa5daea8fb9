//! Reads and writes protobuf fields one by one, without generated types and without copies.
//!
//! The wire format is <https://protobuf.dev/programming-guides/encoding/>. Groups (wire types 3
//! and 4) do not occur in OTLP and are refused.

mod reader;
mod writer;

pub(crate) use reader::packed_varints;
pub use reader::{BadField, Field, Reader, Value, fields, messages, plain_attribute};
pub use writer::Writer;
#[cfg(feature = "encode")]
pub(crate) use writer::varint_len;
#[cfg(feature = "decode")]
pub(crate) use writer::{delimited, push_tag};
pub(crate) use writer::{len_of_delimited, push_varint};
