//! Says when the records of a request happened.

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use wire::{Logs, Metrics, Request, Signal, SignalKind, Traces};

/// Times of the oldest and the newest record, in nanoseconds since the Unix epoch; 0 and 0 where no
/// record has a time. Decodes the request: for what was not delivered, not for the hot path.
pub(crate) fn range(request: &Request) -> (u64, u64) {
    let times = match request.kind() {
        SignalKind::Traces => of::<Traces>(request, |request| {
            let scopes = request.resource_spans.into_iter().flat_map(|r| r.scope_spans);
            scopes.flat_map(|scope| scope.spans).map(|span| span.start_time_unix_nano).collect()
        }),
        SignalKind::Logs => of::<Logs>(request, |request| {
            let scopes = request.resource_logs.into_iter().flat_map(|r| r.scope_logs);
            let records = scopes.flat_map(|scope| scope.log_records);
            records
                .map(|record| match record.time_unix_nano {
                    0 => record.observed_time_unix_nano,
                    time => time,
                })
                .collect()
        }),
        SignalKind::Metrics => of::<Metrics>(request, |request| {
            let scopes = request.resource_metrics.into_iter().flat_map(|r| r.scope_metrics);
            let metrics = scopes.flat_map(|scope| scope.metrics);
            metrics.filter_map(|metric| metric.data).flat_map(point_times).collect()
        }),
    };
    let known = || times.iter().copied().filter(|time| *time > 0);
    (known().min().unwrap_or(0), known().max().unwrap_or(0))
}

fn of<S: Signal>(request: &Request, times: impl FnOnce(S::Request) -> Vec<u64>) -> Vec<u64> {
    match request.decode::<S>() {
        Some(Ok(decoded)) => times(decoded),
        _ => Vec::new(),
    }
}

fn point_times(data: Data) -> Vec<u64> {
    // The point types share this field but no trait.
    match data {
        Data::Gauge(gauge) => gauge.data_points.iter().map(|p| p.time_unix_nano).collect(),
        Data::Sum(sum) => sum.data_points.iter().map(|p| p.time_unix_nano).collect(),
        Data::Histogram(h) => h.data_points.iter().map(|p| p.time_unix_nano).collect(),
        Data::ExponentialHistogram(h) => h.data_points.iter().map(|p| p.time_unix_nano).collect(),
        Data::Summary(summary) => summary.data_points.iter().map(|p| p.time_unix_nano).collect(),
    }
}
