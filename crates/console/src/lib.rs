//! The parts that the command line and the demo share.
//!
//! - `waterfall` makes rows of spans, durations and failures (`SpanRow`). `draw` shows them in a terminal. `attributes` are
//!   attributes as text, `record` is the text of a log record, `target` what a span called, `report` Lambda's report on one line.
//!   `causes` finds chains of errors in the stack texts that each language prints. `waits` knows the spans that last while their
//!   execution waits, and `time_scale` draws these waits short.
//! - `page` is the page of traces, of `dev --open` and the demo. `script.js` draws it.
//! - `quantity` has units of numbers, `time_arguments` the durations and points in time of command lines, `prices` Lambda's
//!   prices.
//! - `layer` is the layer on this machine, `reach` the check of a backend, and `screen` makes foreign text safe for a terminal.

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
