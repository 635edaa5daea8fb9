//! Waits with a time limit: for a lock, for a future, and for work on another thread.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread, ThreadId};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Locked by one thread at a time.
#[derive(Debug, Default)]
pub(crate) struct TimedLock {
    state: Mutex<LockState>,
    unlocked: Condvar,
}

#[derive(Debug, Default)]
struct LockState {
    holder: Option<ThreadId>,
    /// Number of waiting threads: waking costs a system call even without any.
    waiting: usize,
}

/// Unlocks when it is dropped.
pub(crate) struct TimedLockGuard<'a>(&'a TimedLock);

impl TimedLock {
    /// Waits until no other thread holds the lock. `None` after `timeout`, or at once if this thread holds it, which would be a
    /// deadlock.
    pub(crate) fn lock(&self, timeout: Duration) -> Option<TimedLockGuard<'_>> {
        let this = thread::current().id();
        let is_anothers = |state: &mut LockState| state.holder.is_some_and(|holder| holder != this);
        let mut state = self.state();
        state.waiting += 1;
        let waited = self.unlocked.wait_timeout_while(state, timeout, is_anothers);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        let is_free = state.holder.is_none();
        state.holder.get_or_insert(this);
        is_free.then(|| TimedLockGuard(self))
    }

    fn state(&self) -> MutexGuard<'_, LockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TimedLockGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.holder = None;
        if state.waiting > 0 {
            self.0.unlocked.notify_one();
        }
    }
}

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

/// Starts a thread in this thread's runtime, which the application's exporters may need. Its stack has the usual size, because it
/// may run these exporters too.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let runtime = Handle::try_current().ok();
    let run = move || {
        let _entered = runtime.as_ref().map(Handle::enter);
        run();
    };
    thread::Builder::new().name(name.to_owned()).spawn(run)?;
    Ok(())
}

/// Runs `work` on its own thread. `None` if it exceeds `timeout`; it then continues on its own. `work` must not panic.
pub(crate) fn within<T: Send + 'static>(
    timeout: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (is_done, done) = sync_channel(1);
    // After the timeout there is no receiver.
    spawn("otlp-flush", move || drop(is_done.send(work()))).ok()?;
    done.recv_timeout(timeout).ok()
}
