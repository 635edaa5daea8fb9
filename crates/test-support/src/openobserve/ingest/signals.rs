//! OpenObserve's treatment of spans, log records and metrics: which it refuses, and the service and stream of each.

use super::{Context, Ingested, stream};
use crate::openobserve::store::{Records, Stored, attribute};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use std::sync::Arc;

pub(super) const REJECTED_SPANS: &str =
    "Some spans were rejected due to exceeding the allowed retention period";

pub(super) fn traces(request: ExportTraceServiceRequest, context: &Context) -> Ingested {
    let mut kept = Vec::new();
    let mut rejected = 0;
    // A resource without `service.name` takes the previous one's, the first takes the stream's name.
    let mut service_name = context.stream.to_owned();
    for resource_spans in request.resource_spans {
        let resource = Arc::new(resource_spans.resource.unwrap_or_default());
        service_name = service_name_of(&resource).unwrap_or(service_name);
        for scope_spans in resource_spans.scope_spans {
            let scope = Arc::new(scope_spans.scope.unwrap_or_default());
            for span in scope_spans.spans {
                // An 8-byte trace id is rejected with the same, misleading, text.
                let ids_fit = span.trace_id.len() == 16 && span.span_id.len() == 8;
                if ids_fit && context.window.misses(span.start_time_unix_nano).is_none() {
                    kept.push(stored(
                        context,
                        context.stream,
                        &service_name,
                        &resource,
                        &scope,
                        span,
                    ));
                } else {
                    rejected += 1;
                }
            }
        }
    }
    let message = if rejected > 0 { REJECTED_SPANS.to_owned() } else { String::new() };
    Ingested { records: Records::Spans(kept), rejected, message }
}

pub(super) fn logs(request: ExportLogsServiceRequest, context: &Context) -> Ingested {
    let mut kept = Vec::new();
    let mut rejected = 0;
    let mut message = String::new();
    for resource_logs in request.resource_logs {
        let resource = Arc::new(resource_logs.resource.unwrap_or_default());
        let service_name = service_name_of(&resource).unwrap_or_default();
        for scope_logs in resource_logs.scope_logs {
            let scope = Arc::new(scope_logs.scope.unwrap_or_default());
            for record in scope_logs.log_records {
                // Without time the observed time counts; without both the record is too old.
                let time = if record.time_unix_nano == 0 {
                    record.observed_time_unix_nano
                } else {
                    record.time_unix_nano
                };
                if let Some(reason) = context.window.misses(time) {
                    rejected += 1;
                    message = reason;
                } else {
                    kept.push(stored(
                        context,
                        context.stream,
                        &service_name,
                        &resource,
                        &scope,
                        record,
                    ));
                }
            }
        }
    }
    Ingested { records: Records::Logs(kept), rejected, message }
}

/// The ingest window is not checked: metrics of any age are accepted.
pub(super) fn metrics(request: ExportMetricsServiceRequest, context: &Context) -> Ingested {
    let mut kept = Vec::new();
    for resource_metrics in request.resource_metrics {
        let resource = Arc::new(resource_metrics.resource.unwrap_or_default());
        let service_name = service_name_of(&resource).unwrap_or_default();
        for scope_metrics in resource_metrics.scope_metrics {
            let scope = Arc::new(scope_metrics.scope.unwrap_or_default());
            for metric in scope_metrics.metrics {
                // One stream for each metric name; the header `stream-name` is ignored.
                let stream = stream(&metric.name);
                kept.push(stored(context, &stream, &service_name, &resource, &scope, metric));
            }
        }
    }
    Ingested { records: Records::Metrics(kept), rejected: 0, message: String::new() }
}

fn stored<T>(
    context: &Context,
    stream: &str,
    service_name: &str,
    resource: &Arc<Resource>,
    scope: &Arc<InstrumentationScope>,
    item: T,
) -> Stored<T> {
    Stored {
        organization: context.organization.to_owned(),
        stream: stream.to_owned(),
        service_name: service_name.to_owned(),
        resource: Arc::clone(resource),
        scope: Arc::clone(scope),
        item,
        request: context.request,
    }
}

fn service_name_of(resource: &Resource) -> Option<String> {
    match attribute(&resource.attributes, "service.name")?.value.as_ref()? {
        Value::StringValue(name) => Some(name.clone()),
        _ => None,
    }
}
