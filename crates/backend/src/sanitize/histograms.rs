//! Histograms: the figures that they lack, and explicit buckets in place of exponential ones.

use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, HistogramDataPoint};
use std::iter::repeat;
use std::ops::RangeInclusive;

/// Replaces a missing or non-finite sum, minimum or maximum by an estimate from the buckets. OpenObserve would otherwise store a
/// row without a value, after which PromQL answers 400 for the metric. A histogram without bounds gets no estimate.
pub(super) fn complete(point: &mut HistogramDataPoint) {
    let has_bounds = !point.explicit_bounds.is_empty();
    let estimates = has_bounds.then(|| Estimates::of(point));
    let complete = |figure: &mut Option<f64>, estimate: Option<f64>| {
        *figure = figure.filter(|value| value.is_finite()).or(estimate);
    };
    complete(&mut point.min, estimates.map(|estimates| estimates.min));
    complete(&mut point.max, estimates.map(|estimates| estimates.max));
    complete(&mut point.sum, estimates.map(|estimates| estimates.sum));
}

/// The figures of a histogram whose values are all in the middle of their buckets.
#[derive(Clone, Copy, Default)]
struct Estimates {
    min: f64,
    max: f64,
    sum: f64,
}

/// A bucket with values.
struct FilledBucket {
    lower: f64,
    upper: f64,
    count: u64,
}

impl Estimates {
    fn of(point: &HistogramDataPoint) -> Self {
        let filled = filled_buckets(point);
        let middle = |it: &FilledBucket| f64::midpoint(it.lower, it.upper) * to_f64(it.count);
        let estimates = Self {
            min: filled.first().map_or(0.0, |bucket| bucket.lower),
            max: filled.last().map_or(0.0, |bucket| bucket.upper),
            // The sum of nothing would be -0.
            sum: filled.iter().map(middle).fold(0.0, |sum, middle| sum + middle),
        };
        let are_finite =
            [estimates.min, estimates.max, estimates.sum].into_iter().all(f64::is_finite);
        if are_finite { estimates } else { Self::default() }
    }
}

/// The buckets with values. The last, open bucket has the width 0.
fn filled_buckets(point: &HistogramDataPoint) -> Vec<FilledBucket> {
    let bounds = || point.explicit_bounds.iter().copied();
    let last = repeat(bounds().next_back().unwrap_or_default());
    // The first bucket has no lower bound. Most measurements are not negative.
    let first = bounds().next().map(|first| first.min(0.0));
    let lower = first.into_iter().chain(bounds()).chain(last.clone());
    let upper = bounds().chain(last);
    let buckets = lower.zip(upper).zip(point.bucket_counts.iter().copied());
    buckets
        .map(|((lower, upper), count)| FilledBucket { lower, upper, count })
        .filter(|bucket| bucket.count > 0)
        .collect()
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
    for PowerBucket { exponent, count } in
        point.positive.iter().flat_map(|buckets| power_buckets(buckets, point.scale))
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

/// A bucket with values.
struct PowerBucket {
    /// The exponent of the smallest power of two that none of the values exceeds.
    exponent: i64,
    count: u64,
}

/// Returns the buckets with values.
///
/// Bucket `i` holds values up to `2^((i + 1) / 2^scale)` (OpenTelemetry metrics data model, "ExponentialHistogram").
fn power_buckets(buckets: &Buckets, scale: i32) -> impl Iterator<Item = PowerBucket> {
    let offset = i64::from(buckets.offset);
    // SDKs use scales from -10 to 20; the bound keeps the shifts defined for all others.
    let shift = scale.unsigned_abs().min(31);
    let upper_exponent = move |index: i64| {
        if scale >= 0 { (index >> shift) + 1 } else { (index + 1) << shift }
    };
    (offset..)
        .zip(&buckets.bucket_counts)
        .filter(|(_, count)| **count > 0)
        .map(move |(index, count)| PowerBucket { exponent: upper_exponent(index), count: *count })
}
