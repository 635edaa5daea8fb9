//! RFC 3339 times: the only writer, and the only reader outside of the simulator.
//!
//! No date crate is used: the writer is part of every function, where each kilobyte counts, and the reader accepts spellings of
//! AWS that no date crate supports.

mod reader;
mod writer;

pub use reader::{parse_aws, parse_rfc3339};
pub use writer::{rfc3339_millis, rfc3339_nanos};
