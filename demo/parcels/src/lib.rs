//! What "checkout" puts into the queue, and "parcels" takes out of it.

use serde::{Deserialize, Serialize};

/// A parcel, as a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// Which one of its order.
    pub position: u64,
    /// The first one that tries to carry it fails.
    pub is_fragile: bool,
    /// The first number of what "parcels" makes for it.
    pub first_number: i64,
}
