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
    /// The first family whose endpoint is set.
    pub(super) fn of(reader: &Reader<'_>) -> Option<Self> {
        let any_set = |names: &[&str]| names.iter().any(|name| reader.is_set(name));
        if any_set(&[ENDPOINT]) {
            Some(Self::Ours)
        } else if any_set(&[
            OTEL_ENDPOINT,
            OTEL_TRACES_ENDPOINT,
            OTEL_METRICS_ENDPOINT,
            OTEL_LOGS_ENDPOINT,
        ]) {
            Some(Self::OpenTelemetry)
        } else if any_set(&[O2_ORGANIZATION, O2_AUTHORIZATION]) {
            Some(Self::OpenObserve)
        } else {
            None
        }
    }
}
