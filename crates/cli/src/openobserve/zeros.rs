//! Streams of rare events. OpenObserve refuses queries and alerts on a missing stream, and a function that never failed
//! has no stream of errors.

use super::api::Api;
use super::report::{Action, Report};
use super::shipped::{Shipped, metric_streams};
use console::time_arguments;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use platform::{delta_sum, string_attribute};
use std::collections::BTreeSet;
use wire::{Metrics, Request};

/// Counters that are absent until their event happens, by stream.
const RARE: [(&str, &str); 4] = [
    ("faas_errors", "faas.errors"),
    ("faas_timeouts", "faas.timeouts"),
    ("faas_coldstarts", "faas.coldstarts"),
    ("aws_lambda_out_of_memory", "aws.lambda.out_of_memory"),
];

const FUNCTION: &str = "none";

/// Creates the missing streams with one zero each. Returns all streams of metrics.
pub(super) async fn of_what_is_rare(
    api: &Api,
    shipped: &[Shipped],
    dry_run: bool,
    report: &mut Report,
) -> anyhow::Result<BTreeSet<String>> {
    let mut there = api.metric_streams().await?;
    let asked: BTreeSet<&str> =
        shipped.iter().flat_map(|shipped| metric_streams(&shipped.content)).collect();
    for (stream, metric) in RARE {
        if there.contains(stream) || !asked.contains(stream) {
            continue;
        }
        if !dry_run && let Err(error) = api.export(zero(metric)).await {
            report.add(Action::Failed, stream, format!("{error:#}"));
            continue;
        }
        report.add(Action::Install, stream, "created with one zero, because it was missing");
        there.insert(stream.to_owned());
    }
    Ok(there)
}

pub(super) fn why_missing(stream: &str) -> String {
    let why = if stream.starts_with("lambda_otlp_forwarder") {
        "set the stack's Vitals to otlp or both, and install again after a delivery"
    } else {
        "install again after a function has run"
    };
    format!("there is no stream {stream} yet: {why}")
}

fn zero(metric: &str) -> Request {
    let attributes =
        ["service.name", "faas.name"].map(|key| string_attribute(key, FUNCTION)).to_vec();
    let point = NumberDataPoint {
        time_unix_nano: time_arguments::now_unix_nano(),
        value: Some(Number::AsInt(0)),
        ..NumberDataPoint::default()
    };
    let metrics = vec![delta_sum(metric, "", "", vec![point])];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let metrics = ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() };
    Request::encode::<Metrics>(&ExportMetricsServiceRequest { resource_metrics: vec![metrics] })
}
