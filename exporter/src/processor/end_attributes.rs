//! Leaves each attribute of a span once: the last value, and what the handler says about its span before what the end of the
//! invocation says. The SDK appends one that is set again, and OTLP asks for unique keys.

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::SpanData;
use std::cell::RefCell;

thread_local! {
    /// The span that this thread ends, and the keys that its end has set.
    static ENDING: RefCell<Option<(SpanId, Vec<&'static str>)>> = const { RefCell::new(None) };
}

/// Runs `end`, which ends the span of an invocation on this thread.
///
/// The SDK's span does not tell which attributes it has, and setting one that it has already appends it. So the end sets its
/// attributes, which every processor sees, and our processor removes those that the handler has set as well.
pub(crate) fn ending<T>(span: SpanId, keys: Vec<&'static str>, end: impl FnOnce() -> T) -> T {
    struct Cleared;
    impl Drop for Cleared {
        fn drop(&mut self) {
            ENDING.take();
        }
    }
    let _cleared = Cleared;
    ENDING.set(Some((span, keys)));
    end()
}

/// Leaves each key once: the handler's value before that of the invocation's end, and else the last.
pub(crate) fn settle(span: &mut SpanData) {
    let id = span.span_context.span_id();
    let of_end = ENDING.with_borrow_mut(|ending| ending.take_if(|(span, _)| *span == id));
    let keys = of_end.map(|(_, keys)| keys).unwrap_or_default();
    without_duplicates(&mut span.attributes, &keys);
}

fn without_duplicates(attributes: &mut Vec<KeyValue>, of_end: &[&'static str]) {
    for key in of_end {
        let mut own = attributes.iter().enumerate().filter(|(_, own)| own.key.as_str() == *key);
        if let (Some(_), Some((last, _))) = (own.next(), own.next_back()) {
            attributes.remove(last);
        }
    }
    let is_twice = |(at, own): (usize, &KeyValue)| {
        attributes.iter().skip(at + 1).any(|other| other.key == own.key)
    };
    if !attributes.iter().enumerate().any(is_twice) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handlers_value_wins_over_the_ends_and_the_last_over_earlier_ones() {
        let check = |given: &[(&'static str, i64)], of_end: &[&'static str], expected: &[_]| {
            let mut attributes: Vec<_> =
                given.iter().map(|(key, value)| KeyValue::new(*key, *value)).collect();
            without_duplicates(&mut attributes, of_end);
            let expected: Vec<_> =
                expected.iter().map(|(key, value)| KeyValue::new(*key, *value)).collect();
            assert_eq!(attributes, expected, "{given:?} {of_end:?}");
        };
        check(&[], &["a"], &[]);
        check(&[("a", 1), ("b", 2)], &["b"], &[("a", 1), ("b", 2)]);
        check(&[("a", 1), ("b", 2), ("a", 3)], &["a"], &[("a", 1), ("b", 2)]);
        check(&[("a", 1), ("a", 2), ("a", 3)], &["a"], &[("a", 2)]);
        check(&[("a", 1), ("b", 2), ("a", 3)], &[], &[("a", 3), ("b", 2)]);
    }
}
