//! The global propagator of tests, which uses the propagators of the thread's [`TestFunction`](super::TestFunction).

use crate::telemetry::propagation::Propagation;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::{Context, global};
use std::cell::RefCell;

thread_local! {
    static OF_THREAD: RefCell<Option<Propagation>> = const { RefCell::new(None) };
}

/// Sets the propagators of this thread. Dropping the value restores the previous ones.
pub(super) struct ThreadPropagator {
    before: Option<Propagation>,
}

impl ThreadPropagator {
    pub(super) fn set(propagation: Propagation) -> Self {
        global::set_text_map_propagator(GlobalPropagator);
        Self { before: OF_THREAD.replace(Some(propagation)) }
    }
}

impl Drop for ThreadPropagator {
    fn drop(&mut self) {
        // A terminating thread may have no such value left.
        OF_THREAD.try_with(|own| own.replace(self.before.take())).ok();
    }
}

/// Uses the thread's propagators; without any it reads and writes nothing.
#[derive(Debug)]
struct GlobalPropagator;

fn of_thread() -> Option<Propagation> {
    OF_THREAD.with_borrow(Clone::clone)
}

impl TextMapPropagator for GlobalPropagator {
    fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
        if let Some(own) = of_thread() {
            own.inject_context(cx, injector);
        }
    }

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        of_thread().map_or_else(|| cx.clone(), |own| own.extract_with_context(cx, extractor))
    }

    /// Returns no names, because they would have to outlive the propagators of the thread.
    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&[])
    }
}
