//! Adapts telemetry so that OpenObserve stores it as intended.
//!
//! Sources: OpenObserve 0.60.5 and 0.92.2 as measured and read; each rule states the consequence of its absence.

mod columns;
mod fields;
mod logs;
mod metrics;
mod names;
mod same_column;
mod scan;
mod survey;
mod taken;
mod traces;

use crate::destination::Profile;
pub(crate) use columns::split_by_columns;
use fields::{ARRAY, ARRAY_VALUE, BYTES, MAP, MAP_ENTRY, fields, key_and_value};
pub use names::{stored_byte, stored_key, stored_stream};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
pub use survey::{Survey, Times};
use wire::protobuf::messages;
use wire::resource::SERVICE_NAME;
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

/// Gives the resource a `service.name`, and renames attributes that would overwrite OpenObserve's columns.
fn shape_resource(
    resource: &mut Option<Resource>,
    fallback_service: &str,
    reserved: &names::Reserved,
) {
    let resource = resource.get_or_insert_default();
    bytes_to_text(&mut resource.attributes);
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
    same_column::separate(&mut resource.attributes);
}

/// Deeper values are not searched; prost's own limit is 100 messages.
const MOST_LEVELS: usize = 64;

/// Returns `true` if a value is or holds bytes that [`bytes_to_text`] changes.
fn has_bytes(value: &[u8]) -> bool {
    has_bytes_below(value, MOST_LEVELS)
}

fn has_bytes_below(value: &[u8], levels: usize) -> bool {
    let below = |value: &[u8]| levels > 0 && has_bytes_below(value, levels - 1);
    fields(value).any(|field| match (field.number, field.as_len()) {
        (BYTES, Some(bytes)) => std::str::from_utf8(bytes).is_err(),
        (ARRAY, Some(array)) => messages(array, ARRAY_VALUE).any(below),
        (MAP, Some(map)) => messages(map, MAP_ENTRY).any(|entry| below(key_and_value(entry).1)),
        _ => false,
    })
}

/// Encodes bytes that are not UTF-8 in base64, as OpenTelemetry represents bytes in other formats. OpenObserve would store an
/// empty text.
fn bytes_to_text(attributes: &mut [KeyValue]) {
    attributes.iter_mut().filter_map(|attribute| attribute.value.as_mut()).for_each(value_to_text);
}

fn value_to_text(value: &mut AnyValue) {
    match &mut value.value {
        Some(Value::BytesValue(bytes)) if std::str::from_utf8(bytes).is_err() => {
            let mut text = Vec::new();
            wire::push_base64(&mut text, bytes);
            value.value = String::from_utf8(text).ok().map(Value::StringValue);
        }
        Some(Value::ArrayValue(array)) => array.values.iter_mut().for_each(value_to_text),
        Some(Value::KvlistValue(map)) => bytes_to_text(&mut map.values),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
