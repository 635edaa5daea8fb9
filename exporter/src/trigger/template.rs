//! Templates of names and values in the description of events: text with places in braces.

use super::description::{DescribedSource, text_at};
use super::http_request::{method_in_name, path_in_name};
use opentelemetry::KeyValue;
use serde_json::Value;

/// The name of the span of an event with this subject and these attributes.
pub(super) fn span_name(
    source: &DescribedSource,
    subject: &Value,
    attributes: &[KeyValue],
) -> Option<String> {
    let mut templates = source.span_name.iter();
    templates.find_map(|template| fill(template, |place| value_in_name(place, subject, attributes)))
}

/// The value of a place in the template of a span's name: a pointer, an attribute, or a form of one.
fn value_in_name(place: &str, subject: &Value, attributes: &[KeyValue]) -> Option<String> {
    match place {
        "method" => method_in_name(attributes),
        "path" => path_in_name(attributes),
        pointer if pointer.starts_with('/') => text_at(subject, pointer).map(str::to_owned),
        key => {
            let attribute = attributes.iter().find(|attribute| attribute.key.as_str() == key)?;
            Some(attribute.value.as_str().into_owned())
        }
    }
}

/// Fills the places of a template, which are in braces. `None` if a place has no value.
pub(crate) fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut parts = template.split('{');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (place, rest) = part.split_once('}')?;
        text.push_str(&value(place)?);
        text.push_str(rest);
    }
    Some(text)
}
