//! The list of items that the demo's Rust functions share.

pub mod ledger;
