//! Collected metrics to `ExportMetricsServiceRequest`. The SDK records no exemplars.

use super::EncodedResource;
use super::{attributes, scope};
use crate::clock::unix_nanos;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::{
    AggregatedMetrics, ExponentialBucket, ExponentialHistogram, Gauge, Histogram, Metric,
    MetricData, ResourceMetrics, Sum,
};
use std::time::SystemTime;
use wire::protobuf::Writer;

/// The request with these metrics, with this resource instead of the SDK's.
pub(crate) fn metrics(resource: &EncodedResource, metrics: &ResourceMetrics) -> Vec<u8> {
    let mut request = Vec::new();
    Writer::new(&mut request).message(1, |writer| {
        resource.write(writer, |writer| {
            for own in metrics.scope_metrics() {
                writer.message(2, |writer| {
                    scope(writer, own.scope(), None);
                    for metric in own.metrics() {
                        writer.message(2, |writer| self::metric(writer, metric));
                    }
                    writer.string(3, own.scope().schema_url().unwrap_or_default());
                });
            }
        });
    });
    request
}

fn metric(writer: &mut Writer<'_>, metric: &Metric) {
    writer.string(1, metric.name());
    writer.string(2, metric.description());
    writer.string(3, metric.unit());
    match metric.data() {
        AggregatedMetrics::F64(data) => metric_data(writer, data),
        AggregatedMetrics::U64(data) => metric_data(writer, data),
        AggregatedMetrics::I64(data) => metric_data(writer, data),
    }
}

fn metric_data<T: Number>(writer: &mut Writer<'_>, data: &MetricData<T>) {
    match data {
        MetricData::Gauge(data) => writer.message(5, |writer| gauge(writer, data)),
        MetricData::Sum(data) => writer.message(7, |writer| sum(writer, data)),
        MetricData::Histogram(data) => writer.message(9, |writer| histogram(writer, data)),
        MetricData::ExponentialHistogram(data) => {
            writer.message(10, |writer| exponential_histogram(writer, data));
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
        writer.always_double(4, self);
    }

    fn as_f64(self) -> f64 {
        self
    }
}

impl Number for i64 {
    fn write(self, writer: &mut Writer<'_>) {
        writer.always_fixed64(6, self.cast_unsigned());
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
        writer.message(1, |writer| {
            times(writer, 2, gauge.start_time(), gauge.time());
            point.value().write(writer);
            attributes(writer, 7, point.attributes(), usize::MAX);
        });
    }
}

fn sum<T: Number>(writer: &mut Writer<'_>, sum: &Sum<T>) {
    for point in sum.data_points() {
        writer.message(1, |writer| {
            times(writer, 2, Some(sum.start_time()), sum.time());
            point.value().write(writer);
            attributes(writer, 7, point.attributes(), usize::MAX);
        });
    }
    writer.varint(2, temporality(sum.temporality()));
    writer.varint(3, u64::from(sum.is_monotonic()));
}

fn histogram<T: Number>(writer: &mut Writer<'_>, histogram: &Histogram<T>) {
    for point in histogram.data_points() {
        writer.message(1, |writer| {
            times(writer, 2, Some(histogram.start_time()), histogram.time());
            writer.fixed64(4, point.count());
            writer.always_double(5, point.sum().as_f64());
            let counts: Vec<u64> = point.bucket_counts().collect();
            writer.packed_fixed64(6, counts.into_iter());
            let bounds: Vec<u64> = point.bounds().map(f64::to_bits).collect();
            writer.packed_fixed64(7, bounds.into_iter());
            attributes(writer, 9, point.attributes(), usize::MAX);
            optional_double(writer, 11, point.min());
            optional_double(writer, 12, point.max());
        });
    }
    writer.varint(2, temporality(histogram.temporality()));
}

fn exponential_histogram<T: Number>(writer: &mut Writer<'_>, histogram: &ExponentialHistogram<T>) {
    for point in histogram.data_points() {
        writer.message(1, |writer| {
            attributes(writer, 1, point.attributes(), usize::MAX);
            times(writer, 2, Some(histogram.start_time()), histogram.time());
            writer.fixed64(4, point.count() as u64);
            writer.always_double(5, point.sum().as_f64());
            writer.sint32(6, i32::from(point.scale()));
            writer.fixed64(7, point.zero_count());
            writer.message(8, |writer| buckets(writer, point.positive_bucket()));
            writer.message(9, |writer| buckets(writer, point.negative_bucket()));
            optional_double(writer, 12, point.min());
            optional_double(writer, 13, point.max());
            if point.zero_threshold() != 0.0 {
                writer.always_double(14, point.zero_threshold());
            }
        });
    }
    writer.varint(2, temporality(histogram.temporality()));
}

fn buckets(writer: &mut Writer<'_>, bucket: &ExponentialBucket) {
    writer.sint32(1, bucket.offset());
    let counts: Vec<u64> = bucket.counts().collect();
    writer.packed_varint(2, counts.into_iter());
}

/// Start and time, in two consecutive fields.
fn times(writer: &mut Writer<'_>, field: u32, start: Option<SystemTime>, time: SystemTime) {
    writer.fixed64(field, start.map_or(0, unix_nanos));
    writer.fixed64(field + 1, unix_nanos(time));
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
