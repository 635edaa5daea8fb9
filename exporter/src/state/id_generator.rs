//! Gives the invocation's span the trace id that the forwarder and the extension derive, and an invocation's spans consecutive
//! ids, which compact lines leave out.

use opentelemetry::trace::{SpanContext, SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use wire::ids::id_of_number;

thread_local! {
    /// The trace id for this thread's next span without a parent.
    static NEXT_TRACE_ID: Cell<Option<TraceId>> = const { Cell::new(None) };
    /// The id for this thread's next span.
    static NEXT_SPAN_ID: Cell<Option<SpanId>> = const { Cell::new(None) };
    /// `true` if this thread's next span begins an invocation.
    static BEGINS_INVOCATION: Cell<bool> = const { Cell::new(false) };
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
            BEGINS_INVOCATION.set(false);
        }
    }
    let _cleared = Cleared;
    NEXT_TRACE_ID.set(trace_id);
    BEGINS_INVOCATION.set(true);
    start()
}

/// Runs `start`, which starts one span on this thread with the ids of this context; the trace id counts for a span without a parent.
pub(crate) fn with_span_ids<T>(ids: &SpanContext, start: impl FnOnce() -> T) -> T {
    NEXT_TRACE_ID.set(Some(ids.trace_id()));
    NEXT_SPAN_ID.set(Some(ids.span_id()));
    let started = start();
    NEXT_TRACE_ID.set(None);
    NEXT_SPAN_ID.set(None);
    started
}

/// The generator of the application, except for the trace id of an invocation's span, and the ids of an execution's.
#[derive(Debug)]
pub(crate) struct InvocationIdGenerator(pub(crate) Box<dyn IdGenerator>);

impl IdGenerator for InvocationIdGenerator {
    fn new_trace_id(&self) -> TraceId {
        NEXT_TRACE_ID.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        NEXT_SPAN_ID.take().unwrap_or_else(|| self.0.new_span_id())
    }
}

/// The default generator. Span ids are those of consecutive numbers, from a random one for each invocation.
///
/// Two environments have the same id as rarely as with random ids. Environments that Lambda restores from one snapshot have the
/// same state, so random numbers come from the system.
#[derive(Debug)]
pub(crate) struct SequentialIdGenerator {
    next: AtomicU64,
}

impl Default for SequentialIdGenerator {
    fn default() -> Self {
        Self { next: AtomicU64::new(random_number()) }
    }
}

impl IdGenerator for SequentialIdGenerator {
    fn new_trace_id(&self) -> TraceId {
        let id = random_bytes().map(TraceId::from_bytes).filter(|id| *id != TraceId::INVALID);
        id.unwrap_or_else(|| RandomIdGenerator::default().new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        if BEGINS_INVOCATION.take() {
            self.next.store(random_number(), Ordering::Relaxed);
        }
        let next = || SpanId::from_bytes(id_of_number(self.next.fetch_add(1, Ordering::Relaxed)));
        // One number gives the invalid id.
        Some(next()).filter(|id| *id != SpanId::INVALID).unwrap_or_else(next)
    }
}

fn random_number() -> u64 {
    let otherwise = || RandomIdGenerator::default().new_span_id().to_bytes();
    u64::from_ne_bytes(random_bytes().unwrap_or_else(otherwise))
}

/// Random bytes of the system, unless it has none yet.
fn random_bytes<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    filled.is_ok_and(|filled| filled == N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_ids_count_up_from_a_random_id_per_invocation() {
        let generator = SequentialIdGenerator::default();
        let begins = || with_trace_id(None, || generator.new_span_id());
        let follows = |number: u64| SpanId::from_bytes(id_of_number(number));
        let one = begins();
        let two = begins();
        assert_ne!(one, two);
        let next = generator.next.load(Ordering::Relaxed);
        assert_eq!(two, follows(next.wrapping_sub(1)));
        // A span that does not start leaves the count as it is.
        with_trace_id(None, || ());
        assert_eq!(
            [(); 2].map(|()| generator.new_span_id()),
            [follows(next), follows(next.wrapping_add(1))]
        );
        let other = SequentialIdGenerator::default();
        assert_ne!(other.next.into_inner(), next.wrapping_add(2), "two environments");
        assert_ne!(generator.new_trace_id(), generator.new_trace_id());
    }

    #[test]
    fn sequential_span_ids_skip_the_invalid_id() {
        let generator = SequentialIdGenerator { next: AtomicU64::new(u64::MAX) };
        let ids = [generator.new_span_id(), generator.new_span_id()];
        assert_eq!(ids, [u64::MAX, 1].map(|number| SpanId::from_bytes(id_of_number(number))));
    }

    #[test]
    fn the_invocations_trace_id_is_handed_out_only_once() {
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
