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

/// Returns `true` if a key repeats. Most spans have none, and up to 128 attributes: a key is compared with earlier ones only if
/// one of them has the same hash.
fn has_duplicates(attributes: &[KeyValue]) -> bool {
    let mut seen = [false; 1024];
    attributes.iter().enumerate().any(|(at, own)| {
        let Some(seen) = seen.get_mut(hash(own.key.as_str())) else { return true };
        let may_be_twice = std::mem::replace(seen, true);
        may_be_twice && attributes.iter().take(at).any(|other| other.key == own.key)
    })
}

/// A hash of 10 bits of a key's length and its end, which vary more than its beginning.
fn hash(key: &str) -> usize {
    let end = match key.as_bytes().last_chunk() {
        Some(end) => u64::from_le_bytes(*end),
        None => key.bytes().fold(0, |end, byte| end << 8 | u64::from(byte)),
    };
    // The golden ratio; the highest bits depend on all.
    ((end ^ key.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_key_among_many_attributes_is_detected() {
        let mut attributes: Vec<_> =
            (0..128).map(|number| KeyValue::new(format!("shop.item.{number}"), number)).collect();
        assert!(!has_duplicates(&attributes));
        for number in 0..128 {
            attributes.push(KeyValue::new(format!("shop.item.{number}"), 0));
            assert!(has_duplicates(&attributes), "{number}");
            attributes.pop();
        }
    }
}
