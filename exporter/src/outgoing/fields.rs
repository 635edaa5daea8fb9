//! What the propagators write of a context.

use opentelemetry::propagation::{Injector, TextMapPropagator};
use opentelemetry::{Context, global};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Attributes that a message of Amazon SQS has at most (Amazon SQS Developer Guide, "Message quotas"), and so one of a topic that is
/// delivered to a queue as it is.
const MOST_MESSAGE_ATTRIBUTES: usize = 10;

/// The header that a message attribute must not stand in for: SQS has an attribute of its own for it.
pub(super) const XRAY_HEADER: &str = "x-amzn-trace-id";

/// Names in lower case, values that are not empty; `traceparent` first, where there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Injector for Fields {
    fn set(&mut self, key: &str, value: String) {
        // The state of most traces is empty, and no attribute of a message may be.
        if !value.is_empty() {
            self.0.push((key.to_ascii_lowercase(), value));
        }
    }
}

impl Fields {
    /// Of the current context, by the global propagator.
    pub(super) fn current() -> Self {
        Self::of(&Context::current(), None)
    }

    /// Of this context, by this propagator, else by the global one. Propagators may be the application's: one that panics writes
    /// nothing.
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

    /// One of the application's own naming.
    #[cfg(feature = "aws-sdk")]
    pub(super) fn one(name: &str, value: &str) -> Self {
        Self(vec![(name.to_owned(), value.to_owned())])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that a message with attributes of these names takes.
    pub(super) fn for_message<'a>(self, existing: impl Iterator<Item = &'a str>) -> Self {
        let (mut room, mut has_own) = (MOST_MESSAGE_ATTRIBUTES, false);
        for name in existing {
            room = room.saturating_sub(1);
            has_own |= self.get(name).is_some();
        }
        let mut own = self.0;
        own.retain(|(name, _)| name != XRAY_HEADER);
        own.truncate(if has_own { 0 } else { room });
        Self(own)
    }
}

impl IntoIterator for Fields {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
