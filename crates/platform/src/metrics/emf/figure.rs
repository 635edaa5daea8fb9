//! Reads the numbers of a line in the embedded metric format, within bounds.

use serde_json::value::RawValue;

/// Values of one metric that are read, as many as the specification allows.
pub(super) const MAX_VALUES: usize = 100;
/// The largest value that is read, so that sums stay finite.
const MAX_VALUE: f64 = 1e18;

/// A number within the bound.
pub(super) fn number(value: &RawValue) -> Option<f64> {
    value.get().parse().ok().filter(|value: &f64| value.abs() <= MAX_VALUE)
}
