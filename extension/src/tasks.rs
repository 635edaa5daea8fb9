//! Background tasks.

use std::pin::Pin;
use tokio::task::JoinHandle;

/// Starts a task of tokio's. All tasks have one type, because tokio's code for a task is compiled once per type of future and
/// takes 2 kB each time.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
    tokio::spawn(task)
}
