//! Runs work on another thread with a bounded wait.

use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;
use tokio::runtime::Handle;

/// Runs `work` on its own thread, in this thread's runtime. `None` if it exceeds `timeout`; it then continues on its own. `work`
/// must not panic.
pub(crate) fn within<T: Send + 'static>(
    timeout: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (is_done, done) = sync_channel(1);
    let runtime = Handle::try_current().ok();
    let run = move || {
        let _entered = runtime.as_ref().map(Handle::enter);
        // After the timeout there is no receiver.
        is_done.send(work()).ok();
    };
    thread::Builder::new().name("otlp-flush".to_owned()).spawn(run).ok()?;
    done.recv_timeout(timeout).ok()
}
