//! Reads and writes protobuf fields one by one, without generated types and without copies.
//!
//! The wire format is <https://protobuf.dev/programming-guides/encoding/>. Groups (wire types 3
//! and 4) do not occur in OTLP and are refused.

mod reader;
mod writer;

pub(crate) use reader::packed_varints;
pub use reader::{BadField, Field, Reader, Value, fields, messages, plain_attribute};
pub use writer::Writer;
pub(crate) use writer::{
    begin_delimited, delimited, end_delimited, len_of_delimited, push_tag, push_varint, varint_len,
};
