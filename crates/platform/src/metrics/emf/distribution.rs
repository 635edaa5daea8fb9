//! Reads a metric value that represents many: a statistic set, or values with counts.
//!
//! Source: aws-otel-python-instrumentation, `base_emf_exporter.py`, whose histograms are `{"Count","Sum","Min","Max"}` and whose
//! exponential histograms add `Values` and `Counts`; CloudWatch API, `StatisticSet` and `MetricDatum`.

use serde_json::value::RawValue;

use crate::metrics::emf::figure::{MAX_VALUES, number};
use crate::read::fields::{Elements, Fields};

/// Maximum number of values in one distribution, so that counts stay whole numbers.
const MAX_COUNT: f64 = 1e15;

/// Values of a metric that were added up before they were written.
#[derive(Debug)]
pub(crate) struct Distribution {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// The values with their counts; empty if the distribution is unknown.
    pub(crate) values: Vec<(f64, u64)>,
}

/// Reads a value that is an object, and returns the distribution and the number of refused figures. Without measurements there is
/// neither.
pub(crate) fn distribution(value: &RawValue) -> (Option<Distribution>, usize) {
    let Some(fields) = Fields::of(value.get()) else { return (None, 1) };
    let set = statistic_set(&fields);
    let Some(values) = fields.get("Values") else {
        let refused = usize::from(set.is_none());
        return (set.filter(|set| set.count > 0), refused);
    };
    let values = Elements::of(values.get()).values;
    let counts = fields.get("Counts").map(|counts| Elements::of(counts.get()).values);
    let pairs: Vec<(f64, u64)> = values
        .iter()
        .zip(counts.iter().flatten())
        .take(MAX_VALUES)
        .filter_map(|(value, times)| Some((number(value)?, count(times)?)))
        .collect();
    let refused = values.len().max(1) - pairs.len();
    let counted = pairs.iter().map(|(_, count)| count).sum();
    if counted == 0 {
        return (None, refused);
    }
    // The values may be midpoints of buckets; then only the set has exact figures.
    let (sum, min, max) = match set.filter(|set| set.count == counted) {
        Some(set) => (set.sum, set.min, set.max),
        None => pairs.iter().filter(|(_, count)| *count > 0).fold(
            (0.0, f64::INFINITY, f64::NEG_INFINITY),
            |(sum, min, max), (value, count)| {
                (sum + value * as_float(*count), f64::min(min, *value), f64::max(max, *value))
            },
        ),
    };
    (Some(Distribution { count: counted, sum, min, max, values: pairs }), refused)
}

fn statistic_set(fields: &Fields<'_>) -> Option<Distribution> {
    let number = |key| number(fields.get(key)?);
    let set = Distribution {
        count: count(fields.get("Count")?)?,
        sum: number("Sum")?,
        min: number("Min")?,
        max: number("Max")?,
        values: Vec::new(),
    };
    (set.min <= set.max).then_some(set)
}

/// A whole number, with or without a decimal point.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is whole and within the bound"
)]
fn count(value: &RawValue) -> Option<u64> {
    let count = number(value)?;
    (count.fract() == 0.0 && (0.0..=MAX_COUNT).contains(&count)).then_some(count as u64)
}

#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn as_float(count: u64) -> f64 {
    count as f64
}
