//! Histograms: estimates sum, minimum and maximum from the buckets, and converts exponential buckets to explicit ones.

use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, HistogramDataPoint};
use std::ops::RangeInclusive;

/// Replaces a missing or non-finite sum, minimum or maximum by an estimate from the buckets. OpenObserve would otherwise store a
/// row without a value, after which PromQL answers 400 for the metric. A histogram without bounds gets no estimate.
pub(super) fn complete(point: &mut HistogramDataPoint) {
    let estimate = (!point.explicit_bounds.is_empty()).then(|| Estimate::of(point));
    let set = |figure: &mut Option<f64>, estimated: fn(&Estimate) -> f64| {
        *figure = figure.filter(|value| value.is_finite()).or(estimate.as_ref().map(estimated));
    };
    set(&mut point.min, |estimate| estimate.min);
    set(&mut point.max, |estimate| estimate.max);
    set(&mut point.sum, |estimate| estimate.sum);
}

struct Estimate {
    min: f64,
    max: f64,
    sum: f64,
}

impl Estimate {
    /// Assumes that each value is in the middle of its bucket; the last, open bucket has the width 0.
    fn of(point: &HistogramDataPoint) -> Self {
        let bounds = &point.explicit_bounds;
        let mut estimate = Self { min: 0.0, max: 0.0, sum: 0.0 };
        let mut is_first = true;
        for (index, count) in
            point.bucket_counts.iter().enumerate().filter(|(_, count)| **count > 0)
        {
            let upper = bounds.get(index).or(bounds.last()).copied().unwrap_or_default();
            let lower = match index.checked_sub(1) {
                Some(before) => bounds.get(before).copied().unwrap_or(upper),
                // The first bucket has no lower bound. Most measurements are not negative.
                None => upper.min(0.0),
            };
            if is_first {
                estimate.min = lower;
                is_first = false;
            }
            estimate.max = upper;
            estimate.sum += f64::midpoint(lower, upper) * to_f64(*count);
        }
        if !(estimate.sum.is_finite() && estimate.min.is_finite() && estimate.max.is_finite()) {
            return Self { min: 0.0, max: 0.0, sum: 0.0 };
        }
        estimate
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate of counts above 2^53")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

/// Converts to buckets that end at 0 and at powers of two: OpenObserve 0.60 computes the bounds of exponential buckets
/// incorrectly, and no version adds them up.
///
/// The bounds depend on the unit alone. Queries add the points of many environments bound by bound, so each point needs the same
/// bounds, whatever its range.
pub(super) fn to_explicit_buckets(
    point: ExponentialHistogramDataPoint,
    unit: &str,
) -> HistogramDataPoint {
    let exponents = exponents(unit);
    let first = *exponents.start();
    let mut explicit_bounds = vec![0.0];
    explicit_bounds.extend(exponents.clone().map(|exponent| 2.0_f64.powi(exponent)));
    let mut bucket_counts = vec![0_u64; explicit_bounds.len() + 1];
    let mut add = |bucket: usize, count: u64| {
        if let Some(sum) = bucket_counts.get_mut(bucket) {
            *sum = sum.saturating_add(count);
        }
    };
    // Zeros and negative values belong in the first bucket, whose upper bound is 0.
    add(0, point.zero_count);
    let negative = point.negative.iter().flat_map(|buckets| &buckets.bucket_counts);
    negative.for_each(|count| add(0, *count));
    let last_bucket = explicit_bounds.len();
    for (exponent, count) in
        point.positive.iter().flat_map(|buckets| upper_exponents(buckets, point.scale))
    {
        let above_first =
            exponent.clamp(i64::from(first), i64::from(*exponents.end()) + 1) - i64::from(first);
        add(usize::try_from(above_first + 1).unwrap_or(last_bucket), count);
    }
    HistogramDataPoint {
        attributes: point.attributes,
        start_time_unix_nano: point.start_time_unix_nano,
        time_unix_nano: point.time_unix_nano,
        count: point.count,
        sum: point.sum,
        bucket_counts,
        explicit_bounds,
        exemplars: point.exemplars,
        flags: point.flags,
        min: point.min,
        max: point.max,
    }
}

/// The powers of two that bound the buckets of a unit.
fn exponents(unit: &str) -> RangeInclusive<i32> {
    match unit {
        // From 1 µs to 4.5 hours.
        "s" => -20..=14,
        "ms" => -10..=24,
        // From 1 byte to 1 TiB.
        "By" => 0..=40,
        _ => -20..=40,
    }
}

/// Returns each bucket's count with the smallest power of two that none of its values exceeds.
///
/// Bucket `i` holds values up to `2^((i + 1) / 2^scale)` (OpenTelemetry metrics data model, "ExponentialHistogram").
fn upper_exponents(buckets: &Buckets, scale: i32) -> impl Iterator<Item = (i64, u64)> {
    let offset = i64::from(buckets.offset);
    // SDKs use scales from -10 to 20; the bound keeps the shifts defined for all others.
    let shift = scale.unsigned_abs().min(31);
    let upper_exponent = move |index: i64| {
        if scale >= 0 { (index >> shift) + 1 } else { (index + 1) << shift }
    };
    (offset..)
        .zip(&buckets.bucket_counts)
        .filter(|(_, count)| **count > 0)
        .map(move |(index, count)| (upper_exponent(index), *count))
}
