//! Removes duplicate attributes of a span: the last value wins, and the handler's over the invocation's end. The SDK appends an
//! attribute that is set again, but OTLP requires unique keys.

use opentelemetry::KeyValue;
use std::collections::HashSet;

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
    if has_duplicates(attributes) {
        let mut seen = HashSet::new();
        attributes.reverse();
        attributes.retain(|own| seen.insert(own.key.clone()));
        attributes.reverse();
    }
}

fn has_duplicates(attributes: &[KeyValue]) -> bool {
    let mut seen = HashSet::with_capacity(attributes.len());
    !attributes.iter().all(|own| seen.insert(own.key.as_str()))
}
