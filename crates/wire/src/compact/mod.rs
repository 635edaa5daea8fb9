//! The compact encoding of OTLP requests: the content of a compact line. `docs/line-format.md` specifies it.
//!
//! [`Encoder`] separates a request into a skeleton (field numbers, keys, text) and holes (ids, times, long numbers): `write`
//! walks the messages, `write_text` the strings. The skeleton is deflated with a preset `dictionary`; the holes follow
//! uncompressed. `base91` encodes both as JSON-safe text. `decode` and `read` reverse this.

mod codes;
mod context;
#[cfg(feature = "decode")]
mod decode;
mod dictionary;
mod encoder;
mod header;
mod history;
#[cfg(test)]
#[cfg(feature = "decode")]
mod properties;
#[cfg(feature = "decode")]
mod read;
#[cfg(feature = "decode")]
mod read_text;
mod write;
mod write_text;

pub use context::{Context, OwnedContext};
#[cfg(feature = "decode")]
pub(crate) use decode::decode_counted;
#[cfg(feature = "decode")]
pub use decode::{CompactError, decode};
pub use encoder::Encoder;
