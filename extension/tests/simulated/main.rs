//! The extension as a process beside a function, in a local Lambda that freezes, kills and shuts down: whatever happens, the
//! function's result is what it would be without the layer, and what was acknowledged is in the log.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what goes wrong in the local Lambda fails the test"
)]

mod function;
mod stories;
mod story;
