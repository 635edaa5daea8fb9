//! OTLP/JSON, read and written with the tables of `schema`.

mod error;
mod key;
mod read;
mod scalar;
mod text;
mod write;

pub use error::JsonError;
pub(crate) use key::KeyIn;
pub(crate) use read::read;
pub(crate) use text::text;
