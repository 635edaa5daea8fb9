//! Shapes users' telemetry so that OpenObserve stores it as it was meant.
//!
//! Sources: OpenObserve 0.60.5 and 0.92.2 as measured and read; each rule names what happens without it.

mod columns;
mod fields;
mod histograms;
mod logs;
mod metrics;
mod names;
mod scan;
mod survey;
mod traces;

#[cfg(test)]
mod tests;

use crate::destination::Profile;
pub(crate) use columns::{MAX_COLUMNS, split_by_columns};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use std::fmt;
pub use survey::{Survey, Times};
use wire::resource::SERVICE_NAME;
use wire::{Logs, Metrics, Request, Signal, SignalKind, Traces};

/// A request as the backend wants it, and what had to be left out.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sanitized {
    /// `None` where nothing is left to be sent.
    pub request: Option<Request>,
    /// Items dropped by reason. The items of `request` and these are the items of the request that was given.
    pub dropped: Vec<(DropReason, usize)>,
    /// What is known of `request` beside that, where it was passed as it is; `None` says nothing.
    pub survey: Option<Survey>,
}

/// Why an item is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// A data point whose value is missing, NaN or infinite: OpenObserve stores a row without a value, after which PromQL
    /// answers 400 for the metric.
    NotANumber,
    /// A span whose trace or span id has not 16 or 8 bytes: OpenObserve rejects it, with a text that speaks of retention.
    InvalidId,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "the value of the data point is no finite number",
            Self::InvalidId => "trace or span id of wrong length",
        })
    }
}

/// Shapes a request for the backend.
///
/// Under [`Profile::Otlp`] it passes unchanged. Under [`Profile::OpenObserve`] every resource gets a `service.name`
/// (`fallback_service` where it has none: OpenObserve gives it the name of its neighbour otherwise), and each signal what
/// its module says. Traces and logs that need nothing are not decoded.
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
        SignalKind::Logs => shaped::<Logs>(request, |logs| logs::shape(logs, fallback_service)),
        SignalKind::Metrics => {
            shaped::<Metrics>(request, |metrics| metrics::shape(metrics, fallback_service))
        }
    }
}

fn whole(request: Request) -> Sanitized {
    let request = (request.items() > 0).then_some(request);
    Sanitized { request, dropped: Vec::new(), survey: None }
}

/// `shape` gives why it dropped what it dropped.
fn shaped<S: Signal>(
    request: Request,
    shape: impl FnOnce(&mut S::Request) -> DropReason,
) -> Sanitized {
    // The structure was checked when the request was made; a reader that is stricter still leaves it to the backend.
    let Some(Ok(mut decoded)) = request.decode::<S>() else { return whole(request) };
    let reason = shape(&mut decoded);
    let shaped = Request::encode::<S>(&decoded);
    let dropped = request.items().saturating_sub(shaped.items());
    Sanitized {
        dropped: (dropped > 0).then_some((reason, dropped)).into_iter().collect(),
        ..whole(shaped)
    }
}

/// Gives the resource a `service.name`, and renames attributes that would overwrite OpenObserve's columns.
fn shape_resource(
    resource: &mut Option<Resource>,
    fallback_service: &str,
    reserved: &names::Reserved,
) {
    let resource = resource.get_or_insert_default();
    names::rename(&mut resource.attributes, reserved);
    let is_service_name = |attribute: &&mut KeyValue| attribute.key == SERVICE_NAME;
    let text = |name: &str| AnyValue { value: Some(Value::StringValue(name.to_owned())) };
    match resource.attributes.iter_mut().find(is_service_name) {
        Some(KeyValue {
            value: Some(AnyValue { value: Some(Value::StringValue(name)) }), ..
        }) if !name.is_empty() => {}
        Some(nameless) => nameless.value = Some(text(fallback_service)),
        None => resource.attributes.push(KeyValue {
            key: SERVICE_NAME.to_owned(),
            value: Some(text(fallback_service)),
            ..Default::default()
        }),
    }
}
