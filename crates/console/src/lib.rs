//! The parts that the command line and the demo share.

pub mod layer;
pub mod quantity;
pub mod reach;
pub mod screen;
pub mod time_arguments;
pub mod waterfall;
