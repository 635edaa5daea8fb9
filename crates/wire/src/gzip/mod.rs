//! Gzip with a bound on what is inflated, and with a state that is kept between lines.
//!
//! Making a deflate state costs more than compressing one line of a few spans, so the exporter keeps
//! one `Compressor` for the life of the environment.

mod compress;
mod inflate;
#[cfg(feature = "bulk")]
mod libdeflate;

pub use compress::compress;
#[cfg(feature = "encode")]
pub(crate) use compress::{Compressor, TooLarge};
pub use inflate::{InflateError, inflate, inflate_deflate, inflate_plain, is_gzip, reader};

#[cfg(test)]
mod tests;
