//! Does something on another thread, and waits for it for a bounded time.

use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;
use tokio::runtime::Handle;

/// Runs `work` on a thread of its own, in the runtime of this one; `None` if it is not done when `timeout` is over, and then it goes
/// on by itself. `work` must not panic.
pub(crate) fn within<T: Send + 'static>(
    timeout: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (is_done, done) = sync_channel(1);
    let runtime = Handle::try_current().ok();
    let run = move || {
        let _entered = runtime.as_ref().map(Handle::enter);
        // Nobody waits any more where the timeout is over.
        is_done.send(work()).ok();
    };
    thread::Builder::new().name("otlp-flush".to_owned()).spawn(run).ok()?;
    done.recv_timeout(timeout).ok()
}
