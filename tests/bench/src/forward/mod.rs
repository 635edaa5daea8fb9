//! How a forwarder is driven, ours and the peer's.

pub mod cpu_time;
pub mod driver;
