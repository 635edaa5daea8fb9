//! Background tasks.

use crate::counts::{Count, Counts};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use tokio::task::JoinHandle;

/// Starts a task of tokio's. All tasks have one type, because tokio's code for a task is compiled once per type of future and
/// takes 2 kB each time.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
    tokio::spawn(task)
}

/// Counts the panics of all threads and logs their places from now on.
///
/// The message of a panic is not logged, because it may contain customer data. Each place is logged once, so that a request that
/// always panics does not fill the log.
pub fn report_panics(counts: &Arc<Counts>) {
    let counts = Arc::clone(counts);
    let logged = Mutex::new(Vec::new());
    std::panic::set_hook(Box::new(move |panic| {
        counts.add(Count::Panics, 1);
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let mut logged = logged.lock().unwrap_or_else(PoisonError::into_inner);
        if !logged.contains(&place) {
            tracing::error!(place, "the extension panicked and continues, please report this");
            logged.push(place);
        }
    }));
}

/// Returns the result of `act`, or `None` if it panicked.
pub(crate) fn catch<T>(act: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(act)).ok()
}

/// Returns the output of `future`, or `None` if it panicked.
pub(crate) async fn catch_future<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(move |context| match catch(|| future.as_mut().poll(context)) {
        Some(poll) => poll.map(Some),
        None => Poll::Ready(None),
    })
    .await
}
