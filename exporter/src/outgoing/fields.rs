//! The propagators' fields for a context.

use crate::propagation::XRAY_HEADER;
use opentelemetry::propagation::{Injector, TextMapPropagator};
use opentelemetry::{Context, global};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Maximum number of attributes of an Amazon SQS message (Amazon SQS Developer Guide, "Message quotas"), and thereby of a topic's
/// message with raw delivery.
const MAX_MESSAGE_ATTRIBUTES: usize = 10;

/// Lower-case names and non-empty values; `traceparent` comes first if present.
#[derive(Clone, Debug, Default)]
pub(super) struct ContextFields(Vec<(String, String)>);

impl IntoIterator for ContextFields {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<(String, String)>;

    /// Iterates over the names and values.
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Injector for ContextFields {
    fn set(&mut self, key: &str, value: String) {
        // Most traces have an empty state, and message attributes must not be empty. The SDK decodes baggage properties chosen by
        // the caller: a service refuses messages with control characters, and the formats only allow printable ASCII (W3C Trace
        // Context 3.3.1.3.2, W3C Baggage 3.2.1).
        if !value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            self.0.push((key.to_ascii_lowercase(), value));
        }
    }
}

impl ContextFields {
    /// The fields of the current context, from the global propagator.
    pub(super) fn current() -> Self {
        Self::of(&Context::current(), None)
    }

    /// The fields of this context, from this propagator or else the global one. If the application's propagator panics, there are
    /// none.
    pub(super) fn of(context: &Context, propagator: Option<&dyn TextMapPropagator>) -> Self {
        let written = || {
            let mut fields = Self::default();
            match propagator {
                Some(propagator) => propagator.inject_context(context, &mut fields),
                None => global::get_text_map_propagator(|global| {
                    global.inject_context(context, &mut fields);
                }),
            }
            fields.0.sort_by_key(|(name, _)| name != "traceparent");
            fields
        };
        catch_unwind(AssertUnwindSafe(written)).unwrap_or_default()
    }

    /// `traceparent` only, or its substitute.
    pub(super) fn first(&self) -> Self {
        Self(self.0.first().cloned().into_iter().collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields that fit into a message with attributes of these names.
    pub(super) fn for_message<'a>(self, existing: impl Iterator<Item = &'a str>) -> Self {
        let mut room = MAX_MESSAGE_ATTRIBUTES;
        let mut has_own = false;
        for name in existing {
            room = room.saturating_sub(1);
            has_own |= self.get(name).is_some();
        }
        let mut fields = self.0;
        // SQS has its own attribute for it.
        fields.retain(|(name, _)| name != XRAY_HEADER);
        fields.truncate(if has_own { 0 } else { room });
        Self(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beyond_printable_ascii_are_dropped() {
        for (value, is_kept) in [
            ("tenant=a%00b;p=1", true),
            ("tenant=a;p=\0", false),
            ("tenant=a;p=\r\nx", false),
            ("tenant=a;p=\u{fffe}", false),
            ("", false),
        ] {
            let mut fields = ContextFields::default();
            fields.set("Baggage", value.to_owned());
            assert_eq!(fields.get("baggage"), is_kept.then_some(value));
        }
    }
}
