//! Reads the numbers of a line in the embedded metric format, within limits.

use serde_json::value::RawValue;

/// Maximum number of values of one metric, the specification's limit.
pub(super) const MAX_VALUES: usize = 100;
/// Maximum value, so that sums stay finite.
const MAX_VALUE: f64 = 1e18;

pub(super) fn number(value: &RawValue) -> Option<f64> {
    value.get().parse().ok().filter(|value: &f64| value.abs() <= MAX_VALUE)
}
