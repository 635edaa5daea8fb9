//! The client context of an invocation by Lambda's API (API reference, `Invoke`, `ClientContext`).

use super::fields::Fields;
use super::json::with_fields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Maximum number of base64 bytes.
const MAX_BYTES: usize = 3583;

/// The client context with the fields among its custom values; `None` if it stays unchanged.
pub(super) fn with_custom(existing: Option<&str>, fields: &Fields) -> Option<String> {
    let existing = match existing {
        Some(base64) => String::from_utf8(STANDARD.decode(base64).ok()?).ok()?,
        None => "{}".to_owned(),
    };
    let written = |fields: &Fields| {
        let written = STANDARD.encode(with_fields(&existing, "custom", fields)?);
        (written.len() <= MAX_BYTES).then_some(written)
    };
    // The caller chose the baggage, the only field of unlimited length.
    written(fields).or_else(|| written(&fields.first()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::propagation::Injector as _;

    #[test]
    fn oversized_baggage_is_dropped_before_the_traceparent() {
        let check = |existing: Option<usize>, baggage: usize, expected: Option<&[&str]>| {
            let existing = existing
                .map(|bytes| STANDARD.encode(format!("{{\"client\":\"{}\"}}", "x".repeat(bytes))));
            let mut fields = Fields::default();
            fields.set("traceparent", "00-1".to_owned());
            fields.set("baggage", "b".repeat(baggage));
            let written = with_custom(existing.as_deref(), &fields);
            let keys = written.map(|base64| {
                let json: serde_json::Value =
                    serde_json::from_slice(&STANDARD.decode(base64).unwrap()).unwrap();
                json["custom"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
            });
            let expected = expected.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect());
            assert_eq!(keys, expected);
        };
        check(None, 1000, Some(&["baggage", "traceparent"]));
        check(None, 8000, Some(&["traceparent"]));
        check(Some(1000), 2000, Some(&["traceparent"]));
        check(Some(3000), 8000, None);
    }
}
