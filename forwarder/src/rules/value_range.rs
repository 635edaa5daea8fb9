//! Ranges of values, as rules state them.

use serde::Deserialize;

/// A range by its limits; all are optional.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits<T> {
    pub(super) above: Option<T>,
    pub(super) at_least: Option<T>,
    pub(super) below: Option<T>,
    pub(super) at_most: Option<T>,
}

impl<T> Limits<T> {
    pub(super) fn are_missing(&self) -> bool {
        let Self { above, at_least, below, at_most } = self;
        [above, at_least, below, at_most].iter().all(|limit| limit.is_none())
    }

    pub(super) fn map<U>(self, convert: impl Fn(T) -> U) -> Limits<U> {
        Limits {
            above: self.above.map(&convert),
            at_least: self.at_least.map(&convert),
            below: self.below.map(&convert),
            at_most: self.at_most.map(&convert),
        }
    }
}

impl<T: PartialOrd> Limits<T> {
    pub(super) fn contain(&self, value: &T) -> bool {
        self.above.as_ref().is_none_or(|limit| value > limit)
            && self.at_least.as_ref().is_none_or(|limit| value >= limit)
            && self.below.as_ref().is_none_or(|limit| value < limit)
            && self.at_most.as_ref().is_none_or(|limit| value <= limit)
    }

    /// Returns `true` if a lower limit excludes all values that an upper one permits.
    pub(super) fn contradict_each_other(&self) -> bool {
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
