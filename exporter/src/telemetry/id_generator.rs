//! Gives the invocation's span the trace id that the forwarder and the extension derive.

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::IdGenerator;
use std::cell::Cell;

thread_local! {
    /// The trace id for this thread's next span without a parent.
    static NEXT_TRACE_ID: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Runs `start`, which starts one span on this thread; a span without a parent gets this trace id.
///
/// The SDK's span builder accepts no trace id. The first span takes the id, which is gone when `start` returns. Nothing is
/// awaited in between, so that no other span can take it.
pub(crate) fn with_trace_id<T>(trace_id: Option<TraceId>, start: impl FnOnce() -> T) -> T {
    struct Cleared;
    impl Drop for Cleared {
        fn drop(&mut self) {
            NEXT_TRACE_ID.set(None);
        }
    }
    let _cleared = Cleared;
    NEXT_TRACE_ID.set(trace_id);
    start()
}

/// The generator of the application, except for the trace id of an invocation's span.
#[derive(Debug)]
pub(crate) struct InvocationIdGenerator(pub(crate) Box<dyn IdGenerator>);

impl IdGenerator for InvocationIdGenerator {
    fn new_trace_id(&self) -> TraceId {
        NEXT_TRACE_ID.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_sdk::trace::RandomIdGenerator;

    #[test]
    fn the_trace_id_goes_to_one_span_and_to_no_other() {
        let generator = InvocationIdGenerator(Box::new(RandomIdGenerator::default()));
        let wanted = TraceId::from(7_u128);
        let (first, second) =
            with_trace_id(Some(wanted), || (generator.new_trace_id(), generator.new_trace_id()));
        assert_eq!(first, wanted);
        assert_ne!(second, wanted);
        with_trace_id(Some(wanted), || ());
        assert_ne!(generator.new_trace_id(), wanted, "an id that was not taken is gone");
        let panicked = std::panic::catch_unwind(|| with_trace_id(Some(wanted), || panic!("test")));
        assert!(panicked.is_err());
        assert_ne!(generator.new_trace_id(), wanted, "a panic clears it too");
    }
}
