//! Tasks of tokio's. A panic in one of them ends none alone: the program starts anew (`takeover`).

use std::pin::Pin;
use tokio::task::JoinHandle;

/// Starts a task. All are of one type: the runtime's code for a task is compiled once for each type of future, and each copy has two
/// kilobytes.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
    tokio::spawn(task)
}
