//! The telemetry in a function's log.

use local_lambda::Lambda;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use wire::{Limits, Logs, Metrics, Request, Traces};

/// Items in the order of the log.
#[derive(Debug, Default)]
pub struct Logged {
    /// Spans with the names of their scopes.
    pub spans: Vec<(String, Span)>,
    pub records: Vec<LogRecord>,
    pub metrics: Vec<Metric>,
}

impl Logged {
    /// The items in the OTLP lines of a function.
    pub fn by(lambda: &Lambda, function: &str) -> Self {
        let mut logged = Self::default();
        for event in lambda.log_events(function) {
            if let Some(reading) = wire::read_line(&event.message, &Limits::default()) {
                logged.add(&reading.decoded);
            }
        }
        logged
    }

    /// # Panics
    /// When a request is no OTLP.
    #[expect(clippy::unwrap_used, reason = "a line without OTLP has to fail its test")]
    pub fn add(&mut self, requests: &[Request]) {
        for request in requests {
            if let Some(traces) = request.decode::<Traces>() {
                let scopes =
                    traces.unwrap().resource_spans.into_iter().flat_map(|of| of.scope_spans);
                for scope in scopes {
                    let name = scope.scope.map(|scope| scope.name).unwrap_or_default();
                    self.spans.extend(scope.spans.into_iter().map(|span| (name.clone(), span)));
                }
            } else if let Some(logs) = request.decode::<Logs>() {
                let scopes = logs.unwrap().resource_logs.into_iter().flat_map(|of| of.scope_logs);
                self.records.extend(scopes.flat_map(|scope| scope.log_records));
            } else if let Some(metrics) = request.decode::<Metrics>() {
                let resources = metrics.unwrap().resource_metrics.into_iter();
                let scopes = resources.flat_map(|resource| resource.scope_metrics);
                self.metrics.extend(scopes.flat_map(|scope| scope.metrics));
            }
        }
    }
}
