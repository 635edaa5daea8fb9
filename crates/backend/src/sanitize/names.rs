//! The names under which OpenObserve stores keys and streams.

pub use wire::{stored_byte, stored_key, stored_stream};
