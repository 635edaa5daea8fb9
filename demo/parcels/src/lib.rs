//! The message that "checkout" sends and "parcels" receives.

use serde::{Deserialize, Serialize};

/// A parcel, as a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// The position within its order.
    pub position: u64,
    /// The first delivery fails.
    pub is_fragile: bool,
    /// The first number for the items that "parcels" makes.
    pub first_number: i64,
}
