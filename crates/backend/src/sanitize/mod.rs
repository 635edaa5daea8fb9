//! Adapts telemetry so that OpenObserve stores it as intended.
//!
//! Sources: OpenObserve 0.60.5 and 0.92.2 as measured and read; each rule states the consequence of its absence.

mod columns;
mod fields;
mod histograms;
mod logs;
mod metrics;
mod names;
mod resource;
mod same_column;
mod scan;
mod survey;
mod taken;
mod traces;
mod values;

#[cfg(test)]
mod tests;

use crate::destination::Profile;
pub(crate) use columns::split_by_columns;
pub use names::{stored_byte, stored_key, stored_stream};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
pub use survey::{Survey, Times};
use wire::{Logs, Metrics, Request, Signal, SignalKind, Traces};

/// A request in a form that the backend accepts, and the items that the backend cannot store.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sanitized {
    /// `None` if no item is left.
    pub request: Option<Request>,
    /// Number of data points without a finite value: OpenObserve stores a row without a value, after which PromQL answers 400 for
    /// the metric. They and the items of `request` and `refused` add up to the original request.
    pub dropped: usize,
    /// Number of attributes whose key was changed, because OpenObserve stores the value of another key in the same column.
    pub renamed: usize,
    /// Spans without valid ids, unchanged: [`Reason::InvalidIds`].
    ///
    /// [`Reason::InvalidIds`]: crate::Reason::InvalidIds
    pub refused: Option<Request>,
    /// Facts about an unchanged `request`; `None` if the request was changed or not scanned.
    pub survey: Option<Survey>,
}

/// Adapts a request to the backend.
///
/// [`Profile::Otlp`] changes nothing. [`Profile::OpenObserve`] gives every resource a `service.name` (`fallback_service` if it
/// has none, because OpenObserve would use the previous resource's), and applies the rules of the signal's module. Traces and
/// logs that need no change are not decoded.
pub fn sanitize(profile: Profile, request: Request, fallback_service: &str) -> Sanitized {
    if profile == Profile::Otlp {
        return whole(request);
    }
    let survey = match request.kind() {
        SignalKind::Traces => scan::traces_need_nothing(request.bytes()),
        SignalKind::Logs => scan::logs_need_nothing(request.bytes()),
        SignalKind::Metrics => None,
    };
    if survey.is_some() {
        return Sanitized { survey, ..whole(request) };
    }
    match request.kind() {
        SignalKind::Traces => {
            shaped::<Traces>(request, |traces| traces::shape(traces, fallback_service))
        }
        SignalKind::Logs => shaped::<Logs>(request, |logs| {
            logs::shape(logs, fallback_service);
            ExportLogsServiceRequest::default()
        }),
        SignalKind::Metrics => shaped::<Metrics>(request, |metrics| {
            metrics::shape(metrics, fallback_service);
            ExportMetricsServiceRequest::default()
        }),
    }
}

fn whole(request: Request) -> Sanitized {
    let request = (request.items() > 0).then_some(request);
    Sanitized { request, dropped: 0, renamed: 0, refused: None, survey: None }
}

/// Adapts the request with `shape`, which returns the refused items.
fn shaped<S: Signal>(
    request: Request,
    shape: impl FnOnce(&mut S::Request) -> S::Request,
) -> Sanitized {
    // The structure was checked when the request was created. If prost cannot decode it nevertheless, it is sent unchanged.
    let request = request.without_empty_containers();
    let Some(Ok(mut decoded)) = request.decode::<S>() else { return whole(request) };
    let refused = Request::encode::<S>(&shape(&mut decoded));
    let shaped = Request::encode::<S>(&decoded);
    let dropped = request.items().saturating_sub(shaped.items() + refused.items());
    let refused = (refused.items() > 0).then_some(refused);
    Sanitized { dropped, renamed: same_column::take_renamed(), refused, ..whole(shaped) }
}
