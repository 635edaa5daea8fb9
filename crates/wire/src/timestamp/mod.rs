//! Points in time as RFC 3339 text: the one writer and the one reader of everything but the simulator.
//!
//! No crate for dates: the writer stands in every function, where each kilobyte counts, and the reader takes spellings of AWS
//! that no such crate knows.

mod reader;
mod writer;

pub use reader::{parse_aws, parse_rfc3339};
pub use writer::{rfc3339_millis, rfc3339_nanos};
