//! The open connections of the servers, within bounds of memory and file descriptors.
//!
//! A connection beyond the bound, or without a free descriptor, closes another one: an idle one first, and among these the one idle
//! for the longest. SDKs and Lambda open a new one.

use crate::counts::{Count, Counts};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinHandle;

/// The senders of requests. A flood of one closes no connection of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clients {
    /// The SDKs of the function.
    Function,
    /// Lambda's Telemetry API.
    Lambda,
}

/// The maximum numbers of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    pub(crate) function: usize,
    pub(crate) lambda: usize,
}

impl ConnectionLimits {
    /// The numbers with plenty of descriptors. An SDK uses one or two connections, but some functions never close any, and managed
    /// instances run several processes. Each connection may fill a quarter of a MiB.
    const MAX: Self = Self { function: 64, lambda: 32 };

    /// Divides free descriptors among the clients.
    pub(crate) fn of_descriptors(free: usize) -> Self {
        let lambda = (free / 3).clamp(1, Self::MAX.lambda);
        let function = free.saturating_sub(lambda).clamp(1, Self::MAX.function);
        Self { function, lambda }
    }

    const fn of(self, clients: Clients) -> usize {
        match clients {
            Clients::Function => self.function,
            Clients::Lambda => self.lambda,
        }
    }
}

/// The reason for closing a connection.
#[derive(Clone, Copy, Debug)]
enum Shortage {
    /// The clients have this number of connections, their limit.
    Limit { most: usize },
    /// The process has no free descriptor.
    Descriptors,
}

/// The use of a connection.
#[derive(Debug, Default)]
pub(super) struct Use {
    /// The number of its last request, or of its beginning; the latest use of all connections has the highest number.
    last: AtomicU64,
    /// The number of requests without an answer.
    requests: AtomicUsize,
}

impl Use {
    fn is_busy(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }
}

/// A request without an answer yet.
pub(super) struct RunningRequest(Arc<Use>);

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Connection {
    clients: Clients,
    task: JoinHandle<()>,
    used: Arc<Use>,
}

/// All connections of the extension's servers.
#[derive(Debug)]
pub(crate) struct Connections {
    limits: ConnectionLimits,
    open: Mutex<Vec<Connection>>,
    uses: AtomicU64,
    /// The log already reports a connection closed during a request.
    has_warned_of_closing: AtomicBool,
    /// The log already reports a missing descriptor.
    has_warned_of_descriptors: AtomicBool,
    counts: Arc<Counts>,
}

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits, counts: Arc<Counts>) -> Self {
        Self {
            limits,
            open: Mutex::default(),
            uses: AtomicU64::new(0),
            has_warned_of_closing: AtomicBool::new(false),
            has_warned_of_descriptors: AtomicBool::new(false),
            counts,
        }
    }

    /// Starts the task of a new connection, and closes another one if these clients have too many.
    pub(super) fn add(&self, clients: Clients, serve: impl FnOnce(Arc<Use>) -> JoinHandle<()>) {
        let used = Arc::<Use>::default();
        self.note_use(&used);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|connection| !connection.task.is_finished());
        let of_clients = open.iter().filter(|connection| connection.clients == clients).count();
        let most = self.limits.of(clients);
        if of_clients >= most {
            let cause = Shortage::Limit { most };
            self.close_one(&mut open, cause, |connection| connection.clients == clients);
        }
        let task = serve(Arc::clone(&used));
        open.push(Connection { clients, task, used });
    }

    /// Notes the beginning of a request on a connection.
    pub(super) fn begin_request(&self, used: &Arc<Use>) -> RunningRequest {
        self.note_use(used);
        used.requests.fetch_add(1, Ordering::Relaxed);
        RunningRequest(Arc::clone(used))
    }

    /// Closes a connection because the process has no free descriptor. The descriptor is free once the runtime has run the
    /// connection's task.
    pub(crate) fn free_descriptor(&self) {
        self.counts.add(Count::DescriptorsMissing, 1);
        if !self.has_warned_of_descriptors.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "no file descriptor is free, connections are closed; further cases are only counted"
            );
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|connection| !connection.task.is_finished());
        self.close_one(&mut open, Shortage::Descriptors, |_| true);
    }

    fn note_use(&self, used: &Use) {
        used.last.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    fn close_one(
        &self,
        open: &mut Vec<Connection>,
        cause: Shortage,
        may_close: impl Fn(&Connection) -> bool,
    ) {
        let candidates = open.iter().enumerate().filter(|(_, connection)| may_close(connection));
        let order = |(_, connection): &(usize, &Connection)| {
            (connection.used.is_busy(), connection.used.last.load(Ordering::Relaxed))
        };
        let Some((position, _)) = candidates.min_by_key(order) else { return };
        let Connection { task, used, .. } = open.swap_remove(position);
        task.abort();
        if used.is_busy() {
            self.counts.add(Count::ConnectionsClosed, 1);
            if !self.has_warned_of_closing.swap(true, Ordering::Relaxed) {
                match cause {
                    Shortage::Limit { most } => tracing::warn!(
                        most,
                        "too many connections, one was closed during a request; further ones are only counted"
                    ),
                    Shortage::Descriptors => tracing::warn!(
                        "no file descriptor is free, a connection was closed during a request; further ones are only counted"
                    ),
                }
            }
        }
    }
}

/// Returns `true` if the process or the system has no free descriptor.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}
