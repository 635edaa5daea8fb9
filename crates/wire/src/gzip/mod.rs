//! Gzip: a compressor made for lines of a few spans, and bounded decompression.

mod compress;
#[cfg(feature = "decode")]
mod inflate;
#[cfg(feature = "bulk")]
mod libdeflate;

pub use compress::compress;
#[cfg(feature = "encode")]
pub(crate) use compress::{Compressor, TooLarge};
#[cfg(feature = "bulk")]
pub use inflate::inflate_plain;
#[cfg(feature = "decode")]
pub use inflate::{InflateError, inflate, inflate_deflate, is_gzip, reader};
#[cfg(feature = "decode")]
pub(crate) use inflate::{inflate_counted, inflate_with_dictionary};

#[cfg(test)]
#[cfg(feature = "decode")]
mod tests;
