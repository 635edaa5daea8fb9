//! Ranges of values, by the limits that rules state.

use serde::Deserialize;

/// A range, by limits of which each is optional.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ValueRange<T> {
    pub(super) above: Option<T>,
    pub(super) at_least: Option<T>,
    pub(super) below: Option<T>,
    pub(super) at_most: Option<T>,
}

impl<T> ValueRange<T> {
    pub(super) fn has_no_limit(&self) -> bool {
        let Self { above, at_least, below, at_most } = self;
        [above, at_least, below, at_most].iter().all(|limit| limit.is_none())
    }

    pub(super) fn map<U>(self, convert: impl Fn(T) -> U) -> ValueRange<U> {
        ValueRange {
            above: self.above.map(&convert),
            at_least: self.at_least.map(&convert),
            below: self.below.map(&convert),
            at_most: self.at_most.map(&convert),
        }
    }
}

impl<T: PartialOrd> ValueRange<T> {
    pub(super) fn contains(&self, value: &T) -> bool {
        self.above.as_ref().is_none_or(|limit| value > limit)
            && self.at_least.as_ref().is_none_or(|limit| value >= limit)
            && self.below.as_ref().is_none_or(|limit| value < limit)
            && self.at_most.as_ref().is_none_or(|limit| value <= limit)
    }

    /// Returns `true` if a lower limit excludes all values that an upper one permits.
    pub(super) fn is_empty(&self) -> bool {
        let excludes_upper = |lower: &T, is_included: bool| {
            self.below.as_ref().is_some_and(|below| lower >= below)
                || self
                    .at_most
                    .as_ref()
                    .is_some_and(|most| lower > most || !is_included && lower == most)
        };
        self.above.as_ref().is_some_and(|above| excludes_upper(above, false))
            || self.at_least.as_ref().is_some_and(|least| excludes_upper(least, true))
    }
}
