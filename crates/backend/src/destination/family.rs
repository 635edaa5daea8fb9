//! The families of endpoint variables.

use super::variables::{
    ENDPOINT, O2_AUTHORIZATION, O2_ORGANIZATION, OTEL_ENDPOINT, OTEL_LOGS_ENDPOINT,
    OTEL_METRICS_ENDPOINT, OTEL_TRACES_ENDPOINT,
};
use settings::Reader;

/// The variables that name the endpoint. Credentials of one family never go to an endpoint of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// `LAMBDA_OTLP_…`
    Ours,
    /// `OTEL_EXPORTER_OTLP_…`
    OpenTelemetry,
    /// `O2_…`, of OpenObserve's extension.
    OpenObserve,
}

impl Family {
    /// The first family whose endpoint is set. The endpoint of one signal may be meant for the function's SDK only.
    pub(super) fn of(reader: &Reader<'_>) -> Option<Self> {
        let signals = [OTEL_TRACES_ENDPOINT, OTEL_METRICS_ENDPOINT, OTEL_LOGS_ENDPOINT];
        let is_set = |name: &&str| reader.is_set(name);
        if reader.is_set(ENDPOINT) {
            Some(Self::Ours)
        } else if reader.is_set(OTEL_ENDPOINT) || signals.iter().all(is_set) {
            Some(Self::OpenTelemetry)
        } else if [O2_ORGANIZATION, O2_AUTHORIZATION].iter().any(is_set) {
            Some(Self::OpenObserve)
        } else {
            signals.iter().any(is_set).then_some(Self::OpenTelemetry)
        }
    }
}
