//! The parts that the command line and the demo share.

// The local Lambda of `dev` and the demo needs processes of Linux.
#[cfg(target_os = "linux")]
pub mod layer;
pub mod page;
pub mod prices;
pub mod quantity;
pub mod reach;
pub mod screen;
pub mod time_arguments;
pub mod waterfall;
