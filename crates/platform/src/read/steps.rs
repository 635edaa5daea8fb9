//! Counts the bytes that readers of a line look at, so that tests bound their work without a clock.
//!
//! Each reader of text before a message counts every byte that it looks at, each time. The tests bound this count for hostile
//! lines, whatever the reader's structure.

#[cfg(test)]
thread_local! {
    static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts bytes that a reader looks at. Does nothing outside tests.
#[inline]
#[cfg_attr(not(test), expect(unused_variables, reason = "only tests count"))]
pub(crate) fn count(bytes: usize) {
    #[cfg(test)]
    STEPS.with(|steps| steps.set(steps.get() + bytes));
}

/// The number of bytes that this code looks at, and its result.
#[cfg(test)]
pub(crate) fn counted_in<R>(run: impl FnOnce() -> R) -> (usize, R) {
    STEPS.with(|steps| steps.set(0));
    let result = run();
    (STEPS.with(std::cell::Cell::get), result)
}
