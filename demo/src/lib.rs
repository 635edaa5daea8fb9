//! What the demo's Rust functions have in common: the record of what they made.

pub mod ledger;
