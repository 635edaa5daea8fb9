//! The extension's own log, for tests.

use std::fmt::Debug;
use std::mem;
use std::sync::{Arc, Mutex, OnceLock};
use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, NoSubscriber, set_default};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// A subscriber that keeps the messages of its thread.
#[derive(Clone, Default)]
pub(crate) struct TestLog(Arc<Mutex<Vec<String>>>);

impl TestLog {
    /// Keeps messages until the guard is dropped.
    pub(crate) fn begin() -> (Self, DefaultGuard) {
        // With a single subscriber, tracing caches the answer of the first thread that logs a message, even if it has none.
        static OTHER: OnceLock<Dispatch> = OnceLock::new();
        OTHER.get_or_init(|| Dispatch::new(NoSubscriber::new()));
        let log = Self::default();
        let guard = set_default(log.clone());
        (log, guard)
    }

    /// Returns the messages since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        mem::take(&mut self.0.lock().unwrap())
    }
}

impl Subscriber for TestLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("lambda_otlp_")
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = String::new();
        event.record(&mut |field: &Field, value: &dyn Debug| {
            if field.name() == "message" {
                message = format!("{value:?}");
            }
        });
        self.0.lock().unwrap().push(message);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
