//! Collected metrics to `ExportMetricsServiceRequest`. The SDK records no exemplars.

use super::{EncodedResource, attributes, request};
use crate::export::unix_nanos;
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::{
    AggregatedMetrics, ExponentialBucket, ExponentialHistogram, Gauge, Histogram, Metric,
    MetricData, ResourceMetrics, Sum,
};
use std::time::SystemTime;
use wire::field::{
    data_point, exponential_histogram_data_point as exponential, histogram_data_point, metric,
};
use wire::protobuf::Writer;

/// The request with these metrics, with this resource instead of the SDK's.
pub(crate) fn metrics(resource: &EncodedResource, metrics: &ResourceMetrics) -> Vec<u8> {
    let each: Vec<(&InstrumentationScope, &Metric)> = metrics
        .scope_metrics()
        .flat_map(|of_scope| of_scope.metrics().map(move |metric| (of_scope.scope(), metric)))
        .collect();
    request(
        resource,
        &each,
        0,
        |(scope, _)| (*scope, scope.name()),
        |writer, (_, metric)| {
            self::metric(writer, metric);
        },
    )
}

fn metric(writer: &mut Writer<'_>, metric: &Metric) {
    writer.string(metric::NAME, metric.name());
    writer.string(metric::DESCRIPTION, metric.description());
    writer.string(metric::UNIT, metric.unit());
    match metric.data() {
        AggregatedMetrics::F64(data) => metric_data(writer, data),
        AggregatedMetrics::U64(data) => metric_data(writer, data),
        AggregatedMetrics::I64(data) => metric_data(writer, data),
    }
}

fn metric_data<T: Number>(writer: &mut Writer<'_>, data: &MetricData<T>) {
    match data {
        MetricData::Gauge(data) => writer.message(metric::GAUGE, |writer| gauge(writer, data)),
        MetricData::Sum(data) => writer.message(metric::SUM, |writer| sum(writer, data)),
        MetricData::Histogram(data) => {
            writer.message(metric::HISTOGRAM, |writer| histogram(writer, data));
        }
        MetricData::ExponentialHistogram(data) => {
            writer.message(metric::EXPONENTIAL_HISTOGRAM, |writer| {
                exponential_histogram(writer, data);
            });
        }
    }
}

/// The three number types of measurements.
trait Number: Copy {
    /// `as_double` or `as_int` of a `NumberDataPoint`.
    fn write(self, writer: &mut Writer<'_>);
    /// Histograms know only doubles.
    fn as_f64(self) -> f64;
}

impl Number for f64 {
    fn write(self, writer: &mut Writer<'_>) {
        writer.always_double(data_point::AS_DOUBLE, self);
    }

    fn as_f64(self) -> f64 {
        self
    }
}

impl Number for i64 {
    fn write(self, writer: &mut Writer<'_>) {
        writer.always_fixed64(data_point::AS_INT, self.cast_unsigned());
    }

    #[expect(clippy::cast_precision_loss, reason = "OTLP's histograms know only doubles")]
    fn as_f64(self) -> f64 {
        self as f64
    }
}

impl Number for u64 {
    fn write(self, writer: &mut Writer<'_>) {
        // OTLP has only signed integers: a larger value becomes the maximum, which is closer than zero.
        i64::try_from(self).unwrap_or(i64::MAX).write(writer);
    }

    #[expect(clippy::cast_precision_loss, reason = "OTLP's histograms know only doubles")]
    fn as_f64(self) -> f64 {
        self as f64
    }
}

fn gauge<T: Number>(writer: &mut Writer<'_>, gauge: &Gauge<T>) {
    for point in gauge.data_points() {
        writer.message(metric::POINTS, |writer| {
            times(writer, gauge.start_time(), gauge.time());
            point.value().write(writer);
            attributes(writer, data_point::ATTRIBUTES, point.attributes(), usize::MAX);
        });
    }
}

fn sum<T: Number>(writer: &mut Writer<'_>, sum: &Sum<T>) {
    for point in sum.data_points() {
        writer.message(metric::POINTS, |writer| {
            times(writer, Some(sum.start_time()), sum.time());
            point.value().write(writer);
            attributes(writer, data_point::ATTRIBUTES, point.attributes(), usize::MAX);
        });
    }
    writer.varint(metric::AGGREGATION_TEMPORALITY, temporality(sum.temporality()));
    writer.varint(metric::IS_MONOTONIC, u64::from(sum.is_monotonic()));
}

fn histogram<T: Number>(writer: &mut Writer<'_>, histogram: &Histogram<T>) {
    for point in histogram.data_points() {
        writer.message(metric::POINTS, |writer| {
            times(writer, Some(histogram.start_time()), histogram.time());
            writer.fixed64(histogram_data_point::COUNT, point.count());
            writer.always_double(histogram_data_point::SUM, point.sum().as_f64());
            let counts: Vec<u64> = point.bucket_counts().collect();
            writer.packed_fixed64(histogram_data_point::BUCKET_COUNTS, counts.into_iter());
            let bounds: Vec<u64> = point.bounds().map(f64::to_bits).collect();
            writer.packed_fixed64(histogram_data_point::EXPLICIT_BOUNDS, bounds.into_iter());
            attributes(writer, histogram_data_point::ATTRIBUTES, point.attributes(), usize::MAX);
            optional_double(writer, histogram_data_point::MIN, point.min());
            optional_double(writer, histogram_data_point::MAX, point.max());
        });
    }
    writer.varint(metric::AGGREGATION_TEMPORALITY, temporality(histogram.temporality()));
}

fn exponential_histogram<T: Number>(writer: &mut Writer<'_>, histogram: &ExponentialHistogram<T>) {
    for point in histogram.data_points() {
        writer.message(metric::POINTS, |writer| {
            attributes(writer, exponential::ATTRIBUTES, point.attributes(), usize::MAX);
            times(writer, Some(histogram.start_time()), histogram.time());
            writer.fixed64(exponential::COUNT, point.count() as u64);
            writer.always_double(exponential::SUM, point.sum().as_f64());
            writer.sint32(exponential::SCALE, i32::from(point.scale()));
            writer.fixed64(exponential::ZERO_COUNT, point.zero_count());
            writer
                .message(exponential::POSITIVE, |writer| buckets(writer, point.positive_bucket()));
            writer
                .message(exponential::NEGATIVE, |writer| buckets(writer, point.negative_bucket()));
            optional_double(writer, exponential::MIN, point.min());
            optional_double(writer, exponential::MAX, point.max());
            if point.zero_threshold() != 0.0 {
                writer.always_double(exponential::ZERO_THRESHOLD, point.zero_threshold());
            }
        });
    }
    writer.varint(metric::AGGREGATION_TEMPORALITY, temporality(histogram.temporality()));
}

fn buckets(writer: &mut Writer<'_>, bucket: &ExponentialBucket) {
    writer.sint32(exponential::OFFSET, bucket.offset());
    let counts: Vec<u64> = bucket.counts().collect();
    writer.packed_varint(exponential::BUCKET_COUNTS, counts.into_iter());
}

/// Start and time.
fn times(writer: &mut Writer<'_>, start: Option<SystemTime>, time: SystemTime) {
    writer.fixed64(data_point::START_TIME, start.map_or(0, unix_nanos));
    writer.fixed64(data_point::TIME, unix_nanos(time));
}

fn optional_double<T: Number>(writer: &mut Writer<'_>, field: u32, value: Option<T>) {
    if let Some(value) = value {
        writer.always_double(field, value.as_f64());
    }
}

fn temporality(temporality: Temporality) -> u64 {
    match temporality {
        Temporality::Delta => 1,
        // Low memory is a preference; the SDK's data are delta or cumulative.
        _ => 2,
    }
}
