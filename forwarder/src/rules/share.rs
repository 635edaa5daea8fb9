//! Shares of all traces, and the items that belong to one.

use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// A share of all traces, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share(f64);

/// The value is no number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a share from 0 to 1: 0.1 keeps a tenth")]
pub(super) struct NoShare;

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer).map_err(|_| Error::custom(NoShare))?;
        Self::try_from(share).map_err(Error::custom)
    }
}

impl TryFrom<f64> for Share {
    type Error = NoShare;

    fn try_from(share: f64) -> Result<Self, NoShare> {
        (0.0..=1.0).contains(&share).then_some(Self(share)).ok_or(NoShare)
    }
}

impl Share {
    /// Returns `false` for the share of all traces.
    pub(super) fn is_less_than_all(self) -> bool {
        self.0 < 1.0
    }

    /// The number of items that an item of the share stands for.
    pub(super) fn adjusted_count(self) -> f64 {
        self.0.recip()
    }

    /// The number of hash values, out of `2^56`, that belong to the share.
    pub(super) fn kept_values(self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number from 0 to 2^32"
        )]
        let parts = (self.0 * PARTS).ceil() as u64;
        parts << 24
    }
}

/// Shares are compared with the upper 32 bits of the hash.
const PARTS: f64 = 4_294_967_296.0;

/// An item that belongs to a share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampled {
    pub(super) share: Share,
    hash: u64,
}

impl Sampled {
    /// The item with this hash; `None` if it does not belong to the share.
    pub(super) fn of_hash(share: Share, hash: u64) -> Option<Self> {
        let upper = u32::try_from(hash >> 32).unwrap_or(u32::MAX);
        let is_kept = f64::from(upper) / PARTS < share.0;
        is_kept.then_some(Self { share, hash })
    }

    #[cfg(test)]
    pub(super) fn with_hash(share: Share, hash: u64) -> Self {
        Self { share, hash }
    }

    /// The upper 56 bits of the hash, which are below [`Share::kept_values`].
    pub(super) fn hash_bits(self) -> u64 {
        self.hash >> 8
    }

    /// The decision of two rules: the smaller share holds.
    pub(super) fn smaller(self, other: Option<Self>) -> Self {
        other.filter(|other| other.share.0 < self.share.0).unwrap_or(self)
    }
}
