//! The connections that are open, and which of them makes room for a new one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::AbortHandle;

/// An SDK holds one or two connections; a function that never closes any must not lock itself out.
const MOST: usize = 256;

/// All connections of one listener.
#[derive(Default)]
pub(super) struct Connections(Mutex<All>);

#[derive(Default)]
struct All {
    open: Vec<Connection>,
    /// Counts connections and requests: what was used last has the highest number.
    uses: u64,
}

struct Connection {
    number: u64,
    last_use: u64,
    /// Requests that are read or answered at the moment; HTTP/2 has several at a time.
    requests: usize,
    /// `None` until the task is known.
    task: Option<AbortHandle>,
}

/// A connection as long as it is open.
pub(super) struct Open {
    connections: Arc<Connections>,
    number: u64,
}

impl Connections {
    /// Takes in a new connection. Where there are very many, the one that was idle for the longest is closed; `None` where all of
    /// them are busy.
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

    /// Notes which task serves a connection.
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

    /// Notes that a request is read and answered, as long as this is kept.
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

/// A request as long as it is read and answered.
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
