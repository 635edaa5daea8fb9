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

/// The bytes of a request with one scope, whose items `write` appends as its field 2.
#[cfg(test)]
pub(crate) fn in_scope(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| container.message(2, write));
    bytes
}
