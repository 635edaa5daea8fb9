//! The three signals of OTLP, with their names, paths and shapes. Other code is generic over `Signal` or takes a `SignalKind`, and
//! names all three only if its own result differs by signal.

use crate::field::{container, metric, request, scope_container};
use std::fmt;

/// The signal of telemetry: traces, metrics or logs, known at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SignalKind {
    Traces,
    Metrics,
    Logs,
}

impl SignalKind {
    /// All three, in the order in which they are reported.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// `traces`, `metrics`, `logs`, as in the paths of OTLP/HTTP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// `/v1/traces`, `/v1/metrics`, `/v1/logs` (OTLP 1.x, "OTLP/HTTP Request").
    pub const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }

    /// The method of OTLP over gRPC, as its request's path (OTLP 1.x, "OTLP/gRPC").
    pub const fn grpc_method(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }

    /// The name of one item: `span`, `data point`, `log record`.
    pub const fn item(self) -> &'static str {
        match self {
            Self::Traces => "span",
            Self::Metrics => "data point",
            Self::Logs => "log record",
        }
    }

    /// The signal named by the last segment of a URL or path, without query and fragment.
    pub(crate) fn from_endpoint(endpoint: &str) -> Option<Self> {
        let path = endpoint.split(['?', '#']).next().unwrap_or_default();
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        Self::ALL.into_iter().find(|kind| kind.as_str() == last)
    }

    /// The field numbers that lead from a request to its items, level by level.
    ///
    /// All three requests have the shape request -> resource container -> scope container ->
    /// item; a metric holds its data points one `oneof` deeper.
    pub(crate) const fn path_to_items(self) -> &'static [&'static [u32]] {
        const CONTAINERS: &[u32] = &[request::CONTAINERS];
        const SCOPES: &[u32] = &[container::SCOPES];
        const ITEMS: &[u32] = &[scope_container::ITEMS];
        match self {
            Self::Traces | Self::Logs => &[CONTAINERS, SCOPES, ITEMS],
            Self::Metrics => &[CONTAINERS, SCOPES, ITEMS, metric::DATA, &[metric::POINTS]],
        }
    }
}

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(feature = "decode")]
pub use decoded::{Logs, Metrics, Signal, Traces};

#[cfg(feature = "decode")]
mod decoded {
    use super::SignalKind;
    use opentelemetry_proto::tonic::collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    };
    use opentelemetry_proto::tonic::{
        logs::v1::ResourceLogs, metrics::v1::ResourceMetrics, trace::v1::ResourceSpans,
    };

    /// One signal of OTLP, known at compile time for generic code.
    pub trait Signal: 'static {
        const KIND: SignalKind;
        /// `ResourceSpans`, `ResourceMetrics` or `ResourceLogs`.
        type Container;
        type Request: prost::Message + Default + serde::Serialize + serde::de::DeserializeOwned;

        fn request(containers: Vec<Self::Container>) -> Self::Request;
    }

    #[derive(Debug)]
    pub enum Traces {}
    #[derive(Debug)]
    pub enum Metrics {}
    #[derive(Debug)]
    pub enum Logs {}

    impl Signal for Traces {
        const KIND: SignalKind = SignalKind::Traces;
        type Container = ResourceSpans;
        type Request = ExportTraceServiceRequest;
        fn request(containers: Vec<ResourceSpans>) -> Self::Request {
            ExportTraceServiceRequest { resource_spans: containers }
        }
    }

    impl Signal for Metrics {
        const KIND: SignalKind = SignalKind::Metrics;
        type Container = ResourceMetrics;
        type Request = ExportMetricsServiceRequest;
        fn request(containers: Vec<ResourceMetrics>) -> Self::Request {
            ExportMetricsServiceRequest { resource_metrics: containers }
        }
    }

    impl Signal for Logs {
        const KIND: SignalKind = SignalKind::Logs;
        type Container = ResourceLogs;
        type Request = ExportLogsServiceRequest;
        fn request(containers: Vec<ResourceLogs>) -> Self::Request {
            ExportLogsServiceRequest { resource_logs: containers }
        }
    }
}
