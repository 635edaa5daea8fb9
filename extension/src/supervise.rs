//! Keeps tasks alive: a panic is counted and logged, and what panicked goes on.

use crate::vitals::{Count, Vitals};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinHandle};

/// Counts and logs the panic of a task.
pub(crate) fn note(task: &'static str, ended: &Result<(), JoinError>, vitals: &Vitals) {
    if ended.as_ref().is_err_and(JoinError::is_panic) {
        panicked(task, vitals);
    }
}

fn panicked(task: &'static str, vitals: &Vitals) {
    vitals.add(Count::Panics, 1);
    // The first of an environment, and each hundredth: what panics always must not fill the log.
    if vitals.get(Count::Panics) % 100 == 1 {
        tracing::error!(task, "a task of the extension panicked, it goes on");
    }
}

/// Lets a panic say where it happened, but not its message: that may hold a customer's data.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::debug!(place, "panic");
    }));
}

/// Runs a task, and starts it again when it ends: it is not meant to.
pub(crate) fn restarting<F>(
    task: &'static str,
    vitals: Arc<Vitals>,
    start: impl Fn() -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            if tokio::spawn(start()).await.is_err_and(|error| error.is_panic()) {
                panicked(task, &vitals);
            }
            // A task that ends at once must not take the function's CPU.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
}

/// What `act` gives; `None` if it panicked, which is counted.
pub(crate) fn catch<T>(task: &'static str, vitals: &Vitals, act: impl FnOnce() -> T) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(act));
    if result.is_err() {
        panicked(task, vitals);
    }
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again() {
        let vitals = Arc::new(Vitals::default());
        let starts = Arc::new(AtomicUsize::new(0));
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let task = restarting("test", Arc::clone(&vitals), move || {
            let (start, sender) = (starts.fetch_add(1, Ordering::Relaxed), sender.clone());
            async move {
                assert!(start > 1, "the first two starts panic");
                sender.send(start).await.unwrap();
                std::future::pending::<()>().await;
            }
        });
        assert_eq!(receiver.recv().await, Some(2));
        assert_eq!(vitals.get(Count::Panics), 2);
        task.abort();
    }

    #[test]
    fn a_panic_is_caught_and_counted() {
        let vitals = Vitals::default();
        assert_eq!(catch("test", &vitals, || 7), Some(7));
        assert_eq!(catch("test", &vitals, || -> u8 { panic!("on purpose") }), None);
        assert_eq!(vitals.get(Count::Panics), 1);
    }
}
