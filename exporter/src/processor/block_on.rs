//! Runs an exporter's future on this thread for a bounded time.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The SDK's exporters are asynchronous, its processors are not. Our exporters' futures are ready at the first poll. A foreign
/// one that is not ready at the timeout is dropped, and the result is `None`.
pub(crate) fn block_on<F: Future>(
    future: F,
    timeout: impl FnOnce() -> Duration,
) -> Option<F::Output> {
    let mut future = pin!(future);
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return Some(output);
    }
    let give_up = Instant::now() + timeout();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        let left = give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, poll_fn};

    #[test]
    fn a_future_is_polled_when_woken_and_abandoned_at_timeout() {
        assert_eq!(block_on(async { 7 }, || unreachable!("ready at once")), Some(7));
        assert_eq!(block_on(pending::<()>(), || Duration::from_millis(1)), None);
        let mut polls = 0;
        let wakes = poll_fn(|task| {
            polls += 1;
            let waker = task.waker().clone();
            thread::spawn(move || waker.wake());
            if polls < 3 { Poll::Pending } else { Poll::Ready(polls) }
        });
        assert_eq!(block_on(wakes, || Duration::from_secs(60)), Some(3));
    }
}
