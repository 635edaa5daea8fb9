//! Metrics: adapted so that OpenObserve, which converts nothing, adds them up.

use super::attributes::{AdaptedResource, ItemAdapter};
use super::taken_columns::DATA_POINTS;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, DataPointFlags, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, Summary, SummaryDataPoint,
};
use std::collections::BTreeMap;
use std::iter::repeat;
use std::ops::RangeInclusive;

/// Returns the number of renamed keys.
pub(super) fn adapt(metrics: &mut ExportMetricsServiceRequest, fallback_service: &str) -> usize {
    let mut renamed = 0;
    for resource_metrics in &mut metrics.resource_metrics {
        let resource =
            AdaptedResource::of(&mut resource_metrics.resource, fallback_service, &DATA_POINTS);
        let mut adapter = resource.item_adapter();
        for scope_metrics in &mut resource_metrics.scope_metrics {
            let metrics = std::mem::take(&mut scope_metrics.metrics);
            scope_metrics.metrics =
                metrics.into_iter().flat_map(|metric| adapt_metric(metric, &mut adapter)).collect();
        }
        renamed += adapter.renamed();
    }
    renamed
}

/// Maximum number of bytes for the repeated names and descriptions of a gauge's groups. A larger gauge is not split, because the
/// request could become hundreds of times as long as the line.
const MAX_HEAD_BYTES: usize = 1024 * 1024;

/// Returns the adapted metric: none without data points, because it would create an empty stream, and several for a gauge with
/// different sets of attribute keys.
fn adapt_metric(mut metric: Metric, adapter: &mut ItemAdapter<'_>) -> Vec<Metric> {
    let Some(data) = metric.data.take() else { return Vec::new() };
    match data {
        Data::Gauge(mut gauge) => {
            adapt_numbers(&mut gauge.data_points, true, adapter);
            let mut groups = by_key_set(gauge.data_points);
            if groups.len() * prost::Message::encoded_len(&metric) > MAX_HEAD_BYTES {
                groups = vec![groups.into_iter().flatten().collect()];
            }
            let of_group = |data_points| Metric {
                data: Some(Data::Gauge(Gauge { data_points })),
                ..metric.clone()
            };
            groups.into_iter().map(of_group).collect()
        }
        Data::Sum(mut sum) => {
            adapt_numbers(&mut sum.data_points, is_delta(sum.aggregation_temporality), adapter);
            let has_points = !sum.data_points.is_empty();
            unless_empty(Metric { data: Some(Data::Sum(sum)), ..metric }, has_points)
        }
        Data::Histogram(histogram) => adapt_histogram(metric, histogram, adapter),
        Data::ExponentialHistogram(exponential) => {
            let histogram = Histogram {
                aggregation_temporality: exponential.aggregation_temporality,
                data_points: exponential
                    .data_points
                    .into_iter()
                    .map(|point| to_explicit_buckets(point, &metric.unit))
                    .collect(),
            };
            adapt_histogram(metric, histogram, adapter)
        }
        Data::Summary(summary) => adapt_summary(metric, summary, adapter),
    }
}

/// The metric, if it has data points.
fn unless_empty(metric: Metric, has_points: bool) -> Vec<Metric> {
    if has_points { vec![metric] } else { Vec::new() }
}

/// Returns `true` if the values are deltas. Their `start_time` becomes 0, "unknown" in OTLP: OpenObserve makes it part of the
/// series' identity, so each delta with its true start would be a series of its own.
pub(super) fn is_delta(aggregation_temporality: i32) -> bool {
    aggregation_temporality == AggregationTemporality::Delta as i32
}

fn adapt_numbers(
    data_points: &mut Vec<NumberDataPoint>,
    without_start: bool,
    adapter: &mut ItemAdapter<'_>,
) {
    data_points.retain(|point| {
        is_recorded(point.flags)
            && match point.value {
                Some(Value::AsDouble(value)) => value.is_finite(),
                Some(Value::AsInt(_)) => true,
                None => false,
            }
    });
    for point in data_points {
        adapter.adapt(&mut point.attributes);
        if without_start {
            point.start_time_unix_nano = 0;
        }
    }
}

fn adapt_histogram(
    metric: Metric,
    mut histogram: Histogram,
    adapter: &mut ItemAdapter<'_>,
) -> Vec<Metric> {
    let is_delta = is_delta(histogram.aggregation_temporality);
    histogram.data_points.retain(|point| is_recorded(point.flags));
    for point in &mut histogram.data_points {
        adapter.adapt(&mut point.attributes);
        complete(point);
        if is_delta {
            point.start_time_unix_nano = 0;
        }
    }
    let has_points = !histogram.data_points.is_empty();
    unless_empty(Metric { data: Some(Data::Histogram(histogram)), ..metric }, has_points)
}

fn adapt_summary(
    metric: Metric,
    mut summary: Summary,
    adapter: &mut ItemAdapter<'_>,
) -> Vec<Metric> {
    summary.data_points.retain(|point| is_recorded(point.flags));
    for point in &mut summary.data_points {
        adapter.adapt(&mut point.attributes);
        // A summary without values has NaN quantiles, but its count and sum are valid.
        point.quantile_values.retain(|quantile| quantile.value.is_finite());
    }
    let has_no_sum = |point: &mut SummaryDataPoint| !point.sum.is_finite();
    let counts = summary.data_points.extract_if(.., has_no_sum).map(count_of).collect::<Vec<_>>();
    let has_counts = !counts.is_empty();
    let count_metric = Metric {
        name: format!("{}_count", metric.name),
        data: Some(Data::Gauge(Gauge { data_points: counts })),
        ..metric.clone()
    };
    let mut metrics = unless_empty(count_metric, has_counts);
    let has_points = !summary.data_points.is_empty();
    let summary_metric = Metric { data: Some(Data::Summary(summary)), ..metric };
    metrics.extend(unless_empty(summary_metric, has_points));
    metrics
}

/// The count of a summary whose sum OpenObserve cannot store, as the row that OpenObserve makes of it.
fn count_of(point: SummaryDataPoint) -> NumberDataPoint {
    NumberDataPoint {
        attributes: point.attributes,
        start_time_unix_nano: point.start_time_unix_nano,
        time_unix_nano: point.time_unix_nano,
        value: Some(Value::AsInt(i64::try_from(point.count).unwrap_or(i64::MAX))),
        flags: point.flags,
        ..NumberDataPoint::default()
    }
}

/// Returns `false` for a point that only marks the end of its series (OTLP, `DataPointFlags`). OpenObserve would store it as a
/// value of 0.
pub(super) fn is_recorded(flags: impl Into<u64>) -> bool {
    flags.into() & DataPointFlags::NoRecordedValueMask as u64 == 0
}

/// Groups points by their set of attribute keys: within one gauge, OpenObserve 0.60 copies missing attributes from the previous
/// point.
fn by_key_set(data_points: Vec<NumberDataPoint>) -> Vec<Vec<NumberDataPoint>> {
    let mut groups: BTreeMap<Vec<String>, Vec<NumberDataPoint>> = BTreeMap::new();
    for point in data_points {
        groups.entry(sorted_keys(&point.attributes)).or_default().push(point);
    }
    groups.into_values().collect()
}

fn sorted_keys(attributes: &[KeyValue]) -> Vec<String> {
    let mut keys: Vec<String> = attributes.iter().map(|attribute| attribute.key.clone()).collect();
    keys.sort_unstable();
    keys
}

/// Replaces a missing or non-finite sum, minimum or maximum by an estimate from the buckets. OpenObserve would otherwise store a
/// row without a value, after which PromQL answers 400 for the metric. A histogram without bounds gets no estimate.
fn complete(point: &mut HistogramDataPoint) {
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
fn to_explicit_buckets(point: ExponentialHistogramDataPoint, unit: &str) -> HistogramDataPoint {
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
