//! Base64: writes RFC 4648 §4, reads any spelling.

#[cfg(feature = "decode")]
mod decode;
#[cfg(feature = "encode")]
mod encode;

#[cfg(feature = "decode")]
pub use decode::decode;
#[cfg(feature = "decode")]
pub(crate) use decode::{decode_any, with_decoded};
#[cfg(feature = "encode")]
pub(crate) use encode::encoded_len;
#[cfg(feature = "encode")]
pub use encode::push;
