//! Keeps the extension's tasks running: a panic is counted and logged, and the task is started again or goes on.

use crate::counts::{Count, Counts};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// A task that is not started again keeps this as long as it runs: it counts the task, and notes its panic.
pub(crate) struct Running {
    task: &'static str,
    tasks: Arc<AtomicUsize>,
    counts: Arc<Counts>,
}

impl Running {
    pub(crate) fn begin(
        task: &'static str,
        tasks: &Arc<AtomicUsize>,
        counts: &Arc<Counts>,
    ) -> Self {
        tasks.fetch_add(1, Ordering::Relaxed);
        Self { task, tasks: Arc::clone(tasks), counts: Arc::clone(counts) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.fetch_sub(1, Ordering::Relaxed);
        if std::thread::panicking() {
            panicked(self.task, &self.counts);
        }
    }
}

fn panicked(task: &'static str, counts: &Counts) {
    counts.add(Count::Panics, 1);
    // The first panic of an environment is logged, and each hundredth after it: a task that always panics must not fill the log.
    if counts.get(Count::Panics) % 100 == 1 {
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

/// A task of tokio's. All are of one type: the runtime's code for a task is compiled once for each type of future, and each
/// copy has two kilobytes.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
    tokio::spawn(task)
}

/// Runs a task that is meant never to end, and starts it again when it does.
pub(crate) fn restarting<F>(
    task: &'static str,
    counts: Arc<Counts>,
    start: impl Fn() -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    spawn(async move {
        loop {
            if spawn(start()).await.is_err_and(|error| error.is_panic()) {
                panicked(task, &counts);
            }
            // A task that ends at once must not take the function's CPU.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
}

/// What `act` gives; `None` if it panicked, which is counted.
pub(crate) fn catch<T>(task: &'static str, counts: &Counts, act: impl FnOnce() -> T) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(act));
    if result.is_err() {
        panicked(task, counts);
    }
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again() {
        let counts = Arc::new(Counts::default());
        let starts = Arc::new(AtomicUsize::new(0));
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let task = restarting("test", Arc::clone(&counts), move || {
            let (start, sender) = (starts.fetch_add(1, Ordering::Relaxed), sender.clone());
            async move {
                assert!(start > 1, "the first two starts panic");
                sender.send(start).await.unwrap();
                std::future::pending::<()>().await;
            }
        });
        assert_eq!(receiver.recv().await, Some(2));
        assert_eq!(counts.get(Count::Panics), 2);
        task.abort();
    }

    #[tokio::test]
    async fn a_task_is_counted_while_it_runs_and_its_panic_is_noted() {
        let (running, counts) = (Arc::default(), Arc::new(Counts::default()));
        let quiet = Running::begin("quiet", &running, &counts);
        let loud = Running::begin("loud", &running, &counts);
        assert_eq!(running.load(Ordering::Relaxed), 2);
        let ended = tokio::spawn(async move {
            tokio::task::yield_now().await;
            drop(loud);
        });
        ended.await.unwrap();
        assert_eq!((running.load(Ordering::Relaxed), counts.get(Count::Panics)), (1, 0));
        let panics = tokio::spawn(async move {
            let _running = quiet;
            tokio::task::yield_now().await;
            panic!("on purpose");
        });
        assert!(panics.await.is_err());
        assert_eq!((running.load(Ordering::Relaxed), counts.get(Count::Panics)), (0, 1));
    }

    #[test]
    fn a_panic_is_caught_and_counted() {
        let counts = Counts::default();
        assert_eq!(catch("test", &counts, || 7), Some(7));
        assert_eq!(catch("test", &counts, || -> u8 { panic!("on purpose") }), None);
        assert_eq!(counts.get(Count::Panics), 1);
    }
}
