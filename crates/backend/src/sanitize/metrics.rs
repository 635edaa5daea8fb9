//! Metrics: adapted so that OpenObserve, which converts nothing, adds them up.

use super::taken::{self, Taken};
use super::{histograms, names, resource};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, DataPointFlags, Gauge, Histogram, Metric, NumberDataPoint,
    SummaryDataPoint,
};
use std::collections::BTreeMap;

pub(super) fn shape(metrics: &mut ExportMetricsServiceRequest, fallback_service: &str) {
    for resource_metrics in &mut metrics.resource_metrics {
        resource::shape(&mut resource_metrics.resource, fallback_service, &names::METRIC_RESOURCE);
        let resource = resource_metrics.resource.as_ref().map(prost::Message::encode_to_vec);
        let resource = resource.unwrap_or_default();
        let taken = Taken::in_resource(&taken::DATA_POINTS, &resource);
        for scope_metrics in &mut resource_metrics.scope_metrics {
            let metrics = std::mem::take(&mut scope_metrics.metrics);
            let metrics = metrics.into_iter().flat_map(|metric| shape_metric(metric, &taken));
            scope_metrics.metrics = metrics.collect();
        }
    }
}

/// Maximum number of bytes for the repeated names and descriptions of a gauge's groups. A larger gauge is not split, because the
/// request could become hundreds of times as long as the line.
const MOST_HEAD_BYTES: usize = 1024 * 1024;

/// Returns the adapted metric: none without data points, because it would create an empty stream, and several for a gauge with
/// different sets of attribute keys.
fn shape_metric(mut metric: Metric, taken: &Taken<'_>) -> Vec<Metric> {
    let Some(data) = metric.data.take() else { return Vec::new() };
    match data {
        Data::Gauge(mut gauge) => {
            shape_numbers(&mut gauge.data_points, true, taken);
            let mut groups = by_key_set(gauge.data_points);
            if groups.len() * prost::Message::encoded_len(&metric) > MOST_HEAD_BYTES {
                groups = vec![groups.into_iter().flatten().collect()];
            }
            let of_group = |data_points| Metric {
                data: Some(Data::Gauge(Gauge { data_points })),
                ..metric.clone()
            };
            groups.into_iter().map(of_group).collect()
        }
        Data::Sum(mut sum) => {
            shape_numbers(&mut sum.data_points, is_delta(sum.aggregation_temporality), taken);
            some_if(!sum.data_points.is_empty(), Metric { data: Some(Data::Sum(sum)), ..metric })
        }
        Data::Histogram(histogram) => shape_histogram(metric, histogram, taken),
        Data::ExponentialHistogram(exponential) => {
            let histogram = Histogram {
                aggregation_temporality: exponential.aggregation_temporality,
                data_points: exponential
                    .data_points
                    .into_iter()
                    .map(|point| histograms::to_explicit_buckets(point, &metric.unit))
                    .collect(),
            };
            shape_histogram(metric, histogram, taken)
        }
        Data::Summary(mut summary) => {
            summary.data_points.retain_mut(|point| shape_summary(point, taken));
            some_if(
                !summary.data_points.is_empty(),
                Metric { data: Some(Data::Summary(summary)), ..metric },
            )
        }
    }
}

fn some_if(condition: bool, metric: Metric) -> Vec<Metric> {
    if condition { vec![metric] } else { Vec::new() }
}

/// Returns `true` if the values are deltas. Their `start_time` becomes 0, "unknown" in OTLP: OpenObserve makes it part of the
/// series' identity, so each delta with its true start would be a series of its own.
fn is_delta(aggregation_temporality: i32) -> bool {
    aggregation_temporality == AggregationTemporality::Delta as i32
}

fn shape_numbers(data_points: &mut Vec<NumberDataPoint>, without_start: bool, taken: &Taken<'_>) {
    data_points.retain(|point| {
        is_recorded(point.flags)
            && match point.value {
                Some(Value::AsDouble(value)) => value.is_finite(),
                Some(Value::AsInt(_)) => true,
                None => false,
            }
    });
    for point in data_points {
        taken.adapt(&mut point.attributes);
        if without_start {
            point.start_time_unix_nano = 0;
        }
    }
}

fn shape_histogram(metric: Metric, mut histogram: Histogram, taken: &Taken<'_>) -> Vec<Metric> {
    let is_delta = is_delta(histogram.aggregation_temporality);
    histogram.data_points.retain(|point| is_recorded(point.flags));
    for point in &mut histogram.data_points {
        taken.adapt(&mut point.attributes);
        histograms::complete(point);
        if is_delta {
            point.start_time_unix_nano = 0;
        }
    }
    some_if(
        !histogram.data_points.is_empty(),
        Metric { data: Some(Data::Histogram(histogram)), ..metric },
    )
}

fn shape_summary(point: &mut SummaryDataPoint, taken: &Taken<'_>) -> bool {
    taken.adapt(&mut point.attributes);
    // A summary without values has NaN quantiles, but its count and sum are valid.
    point.quantile_values.retain(|quantile| quantile.value.is_finite());
    point.sum.is_finite() && is_recorded(point.flags)
}

/// Returns `false` for a point that only marks the end of its series (OTLP, `DataPointFlags`). OpenObserve would store it as a
/// value of 0.
fn is_recorded(flags: u32) -> bool {
    flags & DataPointFlags::NoRecordedValueMask as u32 == 0
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
