//! Adapts telemetry so that OpenObserve stores it as intended.
//!
//! Sources: OpenObserve 0.60.5 and 0.92.2 as measured and read; each rule states the consequence of its absence.

mod columns;
mod gen_ai;
mod hash;
mod limits;
mod logs;
mod metric_scan;
mod metrics;
mod names;
mod new_columns;
mod same_column;
mod scan;
mod severity;
pub(crate) mod span_columns;
mod survey;
mod taken;
mod traces;
pub(crate) mod types;

use crate::destination::Profile;
pub(crate) use columns::split_by_columns;
pub use names::{stored_byte, stored_key, stored_stream};
pub(crate) use new_columns::{KnownColumns, NewColumns};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use same_column::Columns;
use scan::Scanned;
use severity::WithNewTexts;
pub use survey::{Survey, TimeRange};
use traces::SpansByIds;
use wire::field::any_value;
use wire::protobuf::Value::{Fixed64, Len};
use wire::protobuf::{fields, messages};
use wire::resource::SERVICE_NAME;
use wire::view::{key_and_value, map_entries};
use wire::{Depth, Logs, Metrics, Request, Signal, SignalKind, Traces};

/// A request in a form that the backend accepts, and the items that the backend cannot store.
#[must_use]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// Facts about a `request` that was not decoded; `None` if it was.
    pub survey: Option<Survey>,
}

/// Adapts a request to the backend.
///
/// [`Profile::Otlp`] changes nothing. [`Profile::OpenObserve`] gives every resource a `service.name` (`fallback_service` if it
/// has none, because OpenObserve would use the previous resource's), and applies the rules of the signal's module. Requests
/// that need no change are not decoded.
pub fn sanitize(profile: Profile, request: Request, fallback_service: &str) -> Sanitized {
    if profile == Profile::Otlp {
        return whole(request);
    }
    // Most requests need no change: this costs no decoding, and less than a walk that could change them.
    if let Some(Scanned { survey, needs_severity }) = scan::scan(&request) {
        let request = if needs_severity { request.edit(&mut WithNewTexts) } else { Some(request) };
        return Sanitized { survey: Some(survey), ..request.map(whole).unwrap_or_default() };
    }
    let SpansByIds { valid, invalid: refused } = traces::separate_invalid_ids(request);
    let Some(request) = valid else {
        return Sanitized { refused, ..Sanitized::default() };
    };
    let sanitized = match request.kind() {
        SignalKind::Traces => adapt_decoded::<Traces>(request, traces::adapt, fallback_service),
        SignalKind::Logs => adapt_decoded::<Logs>(request, logs::adapt, fallback_service),
        SignalKind::Metrics => adapt_decoded::<Metrics>(request, metrics::adapt, fallback_service),
    };
    Sanitized { refused, ..sanitized }
}

/// A request that is sent as it is.
fn whole(request: Request) -> Sanitized {
    let request = (request.items() > 0).then_some(request);
    Sanitized { request, ..Sanitized::default() }
}

/// Adapts the request with `adapt`, which returns the number of renamed keys.
fn adapt_decoded<S: Signal>(
    request: Request,
    adapt: fn(&mut S::Request, &str) -> usize,
    fallback_service: &str,
) -> Sanitized {
    // The structure was checked when the request was created. If prost cannot decode it nevertheless, it is sent unchanged.
    let request = request.without_empty_containers();
    let Some(Ok(mut decoded)) = request.decode::<S>() else { return whole(request) };
    let renamed = adapt(&mut decoded, fallback_service);
    let adapted = Request::encode::<S>(&decoded);
    let dropped = request.items().saturating_sub(adapted.items());
    Sanitized { dropped, renamed, ..whole(adapted) }
}

/// A resource after [`adapt_resource`].
struct AdaptedResource {
    encoded: Vec<u8>,
    /// Number of keys that were renamed because another key had their column.
    renamed: usize,
}

/// Gives the resource a `service.name`, and renames attributes that would overwrite OpenObserve's columns.
fn adapt_resource(
    resource: &mut Option<Resource>,
    fallback_service: &str,
    signal: &taken::Signal,
) -> AdaptedResource {
    let resource = resource.get_or_insert_default();
    to_text(&mut resource.attributes);
    let is_service_name = |attribute: &&mut KeyValue| attribute.key == SERVICE_NAME;
    match resource.attributes.iter_mut().find(is_service_name) {
        Some(KeyValue {
            value: Some(AnyValue { value: Some(Value::StringValue(name)) }), ..
        }) if !name.is_empty() => {}
        Some(nameless) => nameless.value = Some(text_value(fallback_service.to_owned())),
        None => {
            let service_name = text_attribute(SERVICE_NAME, fallback_service.to_owned());
            resource.attributes.push(service_name);
        }
    }
    let collides = |attribute: &KeyValue| signal.is_reserved_in_resources(attribute.key.as_bytes());
    let mut columns = Columns::default();
    columns.separate(&mut resource.attributes, collides);
    AdaptedResource { encoded: prost::Message::encode_to_vec(resource), renamed: columns.renamed() }
}

fn text_attribute(key: &str, text: String) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(text_value(text)), ..Default::default() }
}

fn text_value(text: String) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(text)) }
}

/// Returns `true` if a value is or holds one that [`value_to_text`] changes.
fn needs_text(value: &[u8], levels: usize) -> bool {
    let below = |value: &[u8]| levels > 0 && needs_text(value, levels - 1);
    fields(value).any(|field| match (field.number, field.value) {
        (any_value::DOUBLE, Fixed64(bits)) => !f64::from_bits(bits).is_finite(),
        (any_value::BYTES, Len(_)) => true,
        (any_value::ARRAY, Len(array)) => messages(array, any_value::VALUES).any(below),
        _ => false,
    }) || map_entries(value).any(|entry| {
        let (key, value) = key_and_value(entry);
        key == NUMBER_TOKEN.as_bytes() || below(value)
    })
}

/// Writes values as text that JSON lacks, as OpenTelemetry represents them in other formats: bytes that are not UTF-8 in base64,
/// and `NaN`, `Infinity` and `-Infinity`. OpenObserve would store an empty text, a list of numbers, or nothing.
///
/// Source: OpenTelemetry specification, "AttributeValue representation for non-OTLP protocols".
fn to_text(attributes: &mut [KeyValue]) {
    values_to_text(attributes, Depth::OF_VALUES);
}

fn values_to_text(attributes: &mut [KeyValue], depth: Depth) {
    let values = attributes.iter_mut().filter_map(|attribute| attribute.value.as_mut());
    values.for_each(|value| value_to_text(value, depth));
}

/// The key by which serde_json marks numbers. As the key of a map's entry, OpenObserve takes the entry for a number, and loses
/// other texts.
const NUMBER_TOKEN: &str = "$serde_json::private::Number";

fn map_to_text(entries: &mut [KeyValue], depth: Depth) {
    for entry in entries.iter_mut().filter(|entry| entry.key == NUMBER_TOKEN) {
        entry.key = format!("attr_{NUMBER_TOKEN}");
    }
    values_to_text(entries, depth);
}

fn value_to_text(value: &mut AnyValue, depth: Depth) {
    let Some(depth) = depth.below() else { return };
    let text = match &mut value.value {
        Some(Value::ArrayValue(array)) => {
            return array.values.iter_mut().for_each(|value| value_to_text(value, depth));
        }
        Some(Value::KvlistValue(map)) => return map_to_text(&mut map.values, depth),
        Some(Value::BytesValue(bytes)) => {
            String::from_utf8(std::mem::take(bytes)).unwrap_or_else(|error| {
                let mut text = Vec::new();
                wire::push_base64(&mut text, error.as_bytes());
                String::from_utf8(text).unwrap_or_default()
            })
        }
        Some(Value::DoubleValue(number)) if number.is_nan() => "NaN".to_owned(),
        Some(Value::DoubleValue(f64::INFINITY)) => "Infinity".to_owned(),
        Some(Value::DoubleValue(f64::NEG_INFINITY)) => "-Infinity".to_owned(),
        _ => return,
    };
    value.value = Some(Value::StringValue(text));
}

#[cfg(test)]
pub(crate) mod tests;
