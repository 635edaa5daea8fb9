//! Removes duplicate attributes of a span: the last value wins, and the handler's over the invocation's end. The SDK appends an
//! attribute that is set again, but OTLP requires unique keys.

use opentelemetry::KeyValue;

/// Keeps each key once: the handler's value over the one of the end, which has set these keys, or else the last.
///
/// The SDK's span does not reveal its attributes, and setting one again appends it. So the end sets its attributes, which every
/// processor receives, and our processor removes those that the handler has also set.
pub(crate) fn settle(attributes: &mut Vec<KeyValue>, of_end: &[&'static str]) {
    for key in of_end {
        let mut own = attributes.iter().enumerate().filter(|(_, own)| own.key.as_str() == *key);
        if let (Some(_), Some((last, _))) = (own.next(), own.next_back()) {
            attributes.remove(last);
        }
    }
    if !has_duplicates(attributes) {
        return;
    }
    let mut kept: Vec<KeyValue> = Vec::with_capacity(attributes.len());
    for attribute in attributes.drain(..) {
        match kept.iter_mut().find(|own| own.key == attribute.key) {
            Some(own) => *own = attribute,
            None => kept.push(attribute),
        }
    }
    *attributes = kept;
}

fn has_duplicates(attributes: &[KeyValue]) -> bool {
    let keys: Vec<&str> = attributes.iter().map(|own| own.key.as_str()).collect();
    keys.iter().enumerate().any(|(at, key)| keys.iter().take(at).any(|other| other == key))
}
