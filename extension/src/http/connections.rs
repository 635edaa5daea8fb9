//! The open connections of a listener, within a bound.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::AbortHandle;

/// The maximum number of connections. SDKs use one or two, but some functions never close any.
const MOST: usize = 256;

#[derive(Default)]
pub(super) struct Connections(Mutex<All>);

#[derive(Default)]
struct All {
    open: Vec<Connection>,
    /// The number of uses by connections and requests. The latest use has the highest number.
    uses: u64,
}

struct Connection {
    number: u64,
    last_use: u64,
    /// The number of requests in progress. HTTP/2 has several at a time.
    requests: usize,
    /// `None` until the task is started.
    task: Option<AbortHandle>,
}

pub(super) struct Open {
    connections: Arc<Connections>,
    number: u64,
}

impl Connections {
    /// Registers a new connection. At the bound, the connection with the longest idle time is closed. Returns `None` if all are
    /// busy.
    pub(super) fn open(self: &Arc<Self>) -> Option<Open> {
        let mut all = self.all();
        if all.open.len() >= MOST {
            let idle = all.open.iter().filter(|connection| connection.requests == 0);
            let oldest = idle.min_by_key(|connection| connection.last_use)?;
            if let Some(task) = &oldest.task {
                task.abort();
            }
            let oldest = oldest.number;
            all.open.retain(|connection| connection.number != oldest);
        }
        all.uses += 1;
        let number = all.uses;
        all.open.push(Connection { number, last_use: number, requests: 0, task: None });
        Some(Open { connections: Arc::clone(self), number })
    }

    /// Notes the task of a connection.
    pub(super) fn served_by(&self, number: u64, task: AbortHandle) {
        if let Some(connection) = self.all().of(number) {
            connection.task = Some(task);
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn of(&mut self, number: u64) -> Option<&mut Connection> {
        self.open.iter_mut().find(|connection| connection.number == number)
    }
}

impl Open {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Marks a request as in progress until the result is dropped.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.used(|requests| requests + 1);
        Busy(self)
    }

    fn used(&self, change: impl FnOnce(usize) -> usize) {
        let mut all = self.connections.all();
        all.uses += 1;
        let last_use = all.uses;
        if let Some(connection) = all.of(self.number) {
            connection.requests = change(connection.requests);
            connection.last_use = last_use;
        }
    }
}

/// A request in progress.
pub(super) struct Busy<'o>(&'o Open);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.used(|requests| requests - 1);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.all().open.retain(|connection| connection.number != self.number);
    }
}
