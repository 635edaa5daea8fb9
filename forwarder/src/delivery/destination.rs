//! Destinations of telemetry, by name.

use super::circuit_breaker::Breaker;
use super::ingest_window::IngestPolicy;
use crate::rules::Template;
use crate::source::Origin;
use backend::{DestinationConfig, Outcome, Profile, WrittenLogGroup, stored_stream};
use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;
use wire::{Request, SignalKind};

/// Name of the destination that the variables describe.
pub const DEFAULT_DESTINATION: &str = "default";

pub trait Export: Sync {
    /// Sends one request before the deadline, including retries. The outcome accounts for each of its items. `stream` is
    /// OpenObserve's stream for traces and logs; `None` selects the destination's default.
    fn export(
        &self,
        stream: Option<&str>,
        request: Request,
        deadline: Instant,
    ) -> impl Future<Output = Outcome> + Send;

    /// Closes idle connections, which may be dead after a freeze.
    fn drop_connections(&self) {}
}

impl<T: backend::Transport + Send> Export for backend::Client<T> {
    async fn export(&self, stream: Option<&str>, request: Request, deadline: Instant) -> Outcome {
        backend::Client::export(self, stream, request, deadline).await
    }

    fn drop_connections(&self) {
        if let Err(error) = backend::Client::drop_connections(self) {
            tracing::warn!(%error, "cannot drop connections from before a freeze");
        }
    }
}

/// Accepts everything.
#[cfg(test)]
pub(crate) struct DryRun;

#[cfg(test)]
impl Export for DryRun {
    async fn export(&self, _stream: Option<&str>, request: Request, _: Instant) -> Outcome {
        Outcome { accepted: request.items(), ..Outcome::default() }
    }
}

/// A hash of the streams that OpenObserve stores a request in. Concurrent requests to the same streams lose columns or are stored
/// twice in part if they add columns (v0.92.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StoredStreams(u64);

#[derive(Debug)]
pub struct Destination<E> {
    /// The name in rules and parked messages.
    pub(crate) name: String,
    pub(crate) export: E,
    pub(crate) config: DestinationConfig,
    pub(crate) policy: IngestPolicy,
    stream: Option<Template>,
    /// The log groups that it writes itself.
    pub(crate) written_log_groups: Vec<WrittenLogGroup>,
    /// By signal, because a destination may accept one signal and fail for another.
    breakers: Mutex<BTreeMap<SignalKind, Breaker>>,
}

/// A destination of requests, and the stream that they name.
pub(crate) struct DestinationRoute<'f, E> {
    /// Position of the destination in the forwarder's list.
    pub(crate) position: usize,
    pub(crate) destination: &'f Destination<E>,
    /// OpenObserve's stream; `None` for the destination's default.
    pub(crate) stream: Option<Arc<str>>,
}

impl<E> Destination<E> {
    /// Creates a destination reached by `export`. `policy` handles old records.
    pub fn new(name: &str, export: E, config: &DestinationConfig, policy: IngestPolicy) -> Self {
        Self {
            name: name.to_owned(),
            export,
            config: config.clone(),
            policy,
            stream: None,
            written_log_groups: config.written_log_groups(),
            breakers: Mutex::default(),
        }
    }

    #[must_use]
    pub fn with_stream(self, stream: Option<Template>) -> Self {
        Self { stream, ..self }
    }

    /// OpenObserve's stream for this origin; `None` for the default stream.
    pub fn stream(&self, origin: &Origin) -> Option<String> {
        self.stream.as_ref().map(|stream| stream.fill_stream(origin))
    }

    /// The streams that store requests of this signal and stream; `None` if the backend is not OpenObserve. All metrics count as
    /// one stream, because their streams are the metric names.
    pub(crate) fn stored_streams(
        &self,
        kind: SignalKind,
        stream: Option<&str>,
    ) -> Option<StoredStreams> {
        if self.config.profile != Profile::OpenObserve {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        (self.config.endpoints.of(kind), kind.as_str()).hash(&mut hasher);
        if kind != SignalKind::Metrics {
            let stream = stream.or(self.config.stream.as_deref()).unwrap_or("default");
            stored_stream(stream).hash(&mut hasher);
        }
        Some(StoredStreams(hasher.finish()))
    }

    pub(crate) fn with_breaker<T>(
        &self,
        kind: SignalKind,
        use_breaker: impl FnOnce(&mut Breaker) -> T,
    ) -> T {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        use_breaker(breakers.entry(kind).or_default())
    }
}
