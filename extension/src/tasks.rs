//! What runs beside the loop. A panic there ends nothing alone: the program starts anew (`takeover`).

use std::pin::Pin;
use tokio::task::JoinHandle;

/// Starts a task of tokio's. All are of one type: the runtime's code for a task is compiled once for each type of future, and each
/// copy has two kilobytes.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let mut task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
    tokio::spawn(std::future::poll_fn(move |context| or_end(|| task.as_mut().poll(context))))
}

/// Does it. Where a panic unwinds, as in tests, it ends the program too: tokio would end the one task, and nobody would notice.
pub(crate) fn or_end<T>(act: impl FnOnce() -> T) -> T {
    #[cfg(panic = "unwind")]
    return std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).unwrap_or_else(|_| {
        use std::io::Write as _;
        // Not by a macro, whose output tests keep for themselves.
        let said = b"a panic beside the loop ends the program: --nocapture says where it was\n";
        std::io::stderr().write_all(said).ok();
        std::process::abort()
    });
    #[cfg(not(panic = "unwind"))]
    act()
}
