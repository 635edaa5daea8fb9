//! OpenObserve's treatment of metrics.

use std::collections::BTreeSet;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint, metric::Data,
    number_data_point::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::traces::service_name_of;
use super::{Columns, stream};
use super::{Context, Ingested, Refusal};
use crate::openobserve::oddity::{Oddities, OddityKind};
use crate::openobserve::store::ColumnsByStream;
use crate::openobserve::store::{Records, Stored, data_points, point_attributes};

/// The ingest window is not checked: metrics of any age are accepted.
pub(crate) fn ingest(
    request: ExportMetricsServiceRequest,
    context: &Context,
    oddities: &mut Oddities,
) -> Result<Ingested, Refusal> {
    let mut kept = Vec::new();
    let mut columns = ColumnsByStream::new();
    for resource_metrics in request.resource_metrics {
        let resource = Arc::new(resource_metrics.resource.unwrap_or_default());
        let service_name = service_name_of(&resource.attributes).unwrap_or_default();
        for scope_metrics in resource_metrics.scope_metrics {
            let scope = Arc::new(scope_metrics.scope.unwrap_or_default());
            for metric in scope_metrics.metrics {
                note(&metric, oddities);
                // One stream for each metric name; the header `stream-name` is ignored.
                let stream = stream(&metric.name);
                add_columns(columns.entry(stream.clone()).or_default(), &metric, &resource, &scope);
                kept.push(Stored {
                    organization: context.organization.to_owned(),
                    stream,
                    service_name: service_name.clone(),
                    resource: Arc::clone(&resource),
                    scope: Arc::clone(&scope),
                    item: metric,
                    request: context.request,
                });
            }
        }
    }
    for (stream, columns) in &columns {
        context.check_columns(columns, stream)?;
    }
    if context.is_json && !kept.is_empty() {
        oddities.add(OddityKind::JsonMetrics, format!("{} metrics", kept.len()));
    }
    let message = String::new();
    Ok(Ingested { records: Records::Metrics(kept), rejected: 0, message, columns })
}

fn note(metric: &Metric, oddities: &mut Oddities) {
    let name = &metric.name;
    let mut odd = |kind| oddities.add(kind, format!("metric `{name}`"));
    if data_points(metric) == 0 {
        odd(OddityKind::EmptyMetric);
    }
    match &metric.data {
        None => {}
        Some(Data::Gauge(gauge)) => {
            if !gauge.data_points.iter().all(has_value) {
                odd(OddityKind::NoValue);
            }
            let keys: BTreeSet<BTreeSet<&str>> =
                gauge.data_points.iter().map(|point| keys(&point.attributes)).collect();
            if keys.len() > 1 {
                odd(OddityKind::GaugeAttributesDiffer);
            }
        }
        Some(Data::Sum(sum)) => {
            if !sum.data_points.iter().all(has_value) {
                odd(OddityKind::NoValue);
            }
            if is_delta(sum.aggregation_temporality)
                && sum.data_points.iter().any(|point| point.start_time_unix_nano != 0)
            {
                odd(OddityKind::DeltaStartTime);
            }
        }
        Some(Data::Histogram(histogram)) => {
            if !histogram.data_points.iter().all(is_complete) {
                odd(OddityKind::IncompleteHistogram);
            }
            let has_start =
                histogram.data_points.iter().any(|point| point.start_time_unix_nano != 0);
            if is_delta(histogram.aggregation_temporality) && has_start {
                odd(OddityKind::DeltaStartTime);
            }
        }
        Some(Data::ExponentialHistogram(_)) => odd(OddityKind::ExponentialHistogram),
        Some(Data::Summary(summary)) => {
            let finite = |value: f64| value.is_finite();
            let is_finite = summary.data_points.iter().all(|point| {
                finite(point.sum)
                    && point.quantile_values.iter().all(|quantile| finite(quantile.value))
            });
            if !is_finite {
                odd(OddityKind::NoValue);
            }
        }
    }
}

fn keys(attributes: &[KeyValue]) -> BTreeSet<&str> {
    attributes.iter().map(|attribute| attribute.key.as_str()).collect()
}

fn is_delta(temporality: i32) -> bool {
    temporality == AggregationTemporality::Delta as i32
}

fn has_value(point: &NumberDataPoint) -> bool {
    match point.value {
        Some(Value::AsInt(_)) => true,
        Some(Value::AsDouble(value)) => value.is_finite(),
        None => false,
    }
}

fn is_complete(point: &HistogramDataPoint) -> bool {
    [point.sum, point.min, point.max].iter().all(|value| value.is_some_and(f64::is_finite))
}

fn add_columns(
    columns: &mut Columns,
    metric: &Metric,
    resource: &Resource,
    scope: &InstrumentationScope,
) {
    columns.add_all(&[
        "__name__",
        "__hash__",
        "value",
        "_timestamp",
        "exemplars",
        "start_time",
        "flag",
    ]);
    if !scope.name.is_empty() {
        columns.add("instrumentation_library_name");
    }
    if !scope.version.is_empty() {
        columns.add("instrumentation_library_version");
    }
    columns.flatten("", &resource.attributes, usize::MAX);
    match &metric.data {
        None | Some(Data::Gauge(_)) => {}
        Some(Data::Sum(_)) => columns.add_all(&["aggregation_temporality", "is_monotonic"]),
        Some(Data::Histogram(_) | Data::ExponentialHistogram(_)) => {
            columns.add_all(&["aggregation_temporality", "le"]);
        }
        Some(Data::Summary(_)) => columns.add("quantile"),
    }
    for attributes in point_attributes(metric.data.as_ref()) {
        columns.flatten("", attributes, usize::MAX);
    }
}
