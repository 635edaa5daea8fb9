//! Parts that the demo's Rust functions share.

pub mod ledger;

use serde::{Deserialize, Serialize};

/// The message that "checkout" sends and "parcels" receives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// The position within its order.
    pub position: u64,
    /// The first delivery fails.
    pub is_fragile: bool,
    pub first_number: i64,
}
