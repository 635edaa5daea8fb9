//! The destinations that a forwarder sends to, by name.

pub(crate) mod circuit_breaker;
pub(crate) mod ingest_window;

use circuit_breaker::Breaker;
use ingest_window::IngestPolicy;

use crate::rules::Template;
use crate::source::Origin;
use aws::SecretService;
use backend::{Authorized, DestinationConfig, Outcome, Profile};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;
use wire::{Request, SignalKind};

/// The destination that the variables describe.
pub const DEFAULT_DESTINATION: &str = "default";

/// Where requests go.
pub trait Export: Sync {
    /// Sends one request before the deadline, repetitions included; the outcome accounts for each
    /// of its items. `stream` is OpenObserve's stream for traces and logs; `None`: the
    /// destination's own.
    fn export(
        &self,
        stream: Option<&str>,
        request: Request,
        deadline: Instant,
    ) -> impl Future<Output = Outcome> + Send;

    /// Makes new connections from now on: after a freeze the old ones may be gone, which only a lost
    /// request would show.
    fn drop_connections(&self) {}
}

impl<T: backend::Transport + Send> Export for backend::Client<T> {
    async fn export(&self, stream: Option<&str>, request: Request, deadline: Instant) -> Outcome {
        backend::Client::export(self, stream, request, deadline).await
    }

    fn drop_connections(&self) {
        if let Err(error) = backend::Client::drop_connections(self) {
            tracing::warn!(%error, "connections from before a freeze are still used");
        }
    }
}

impl<T: backend::Transport + Send, S: SecretService> Export for Authorized<T, S> {
    async fn export(&self, stream: Option<&str>, request: Request, deadline: Instant) -> Outcome {
        Authorized::export(self, stream, request, deadline).await
    }

    fn drop_connections(&self) {
        Export::drop_connections(self.client());
    }
}

/// Accepts everything and sends nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct DryRun;

impl Export for DryRun {
    async fn export(&self, _stream: Option<&str>, request: Request, _: Instant) -> Outcome {
        Outcome { accepted: request.items(), ..Outcome::default() }
    }
}

/// A destination with what it asks of telemetry.
#[derive(Debug)]
pub struct Destination<E> {
    name: String,
    export: E,
    profile: Profile,
    max_request_bytes: usize,
    policy: IngestPolicy,
    stream: Option<Template>,
    /// By signal: a destination may take one and hang with another.
    breakers: Mutex<BTreeMap<SignalKind, Breaker>>,
}

impl<E> Destination<E> {
    /// The destination of this name, reached by `export`; `policy` says which records it takes by their
    /// age.
    pub fn new(name: &str, export: E, config: &DestinationConfig, policy: IngestPolicy) -> Self {
        Self {
            name: name.to_owned(),
            export,
            profile: config.profile,
            max_request_bytes: config.max_request_bytes,
            policy,
            stream: None,
            breakers: Mutex::default(),
        }
    }

    /// The same destination, with OpenObserve's stream made of where telemetry comes from.
    #[must_use]
    pub fn with_stream(self, stream: Option<Template>) -> Self {
        Self { stream, ..self }
    }

    /// OpenObserve's stream for what comes from this origin; `None`: as the destination says.
    pub fn stream(&self, origin: &Origin) -> Option<String> {
        self.stream.as_ref().map(|stream| stream.fill_stream(origin))
    }

    /// What rules and parked messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends to it.
    pub fn export(&self) -> &E {
        &self.export
    }

    /// What it asks of telemetry.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Largest request before compression, in bytes.
    pub fn max_request_bytes(&self) -> usize {
        self.max_request_bytes
    }

    /// Which records it takes by their age.
    pub fn policy(&self) -> IngestPolicy {
        self.policy
    }

    /// Asks or tells what remembers how its deliveries of this signal ended.
    pub(crate) fn breaker<T>(&self, kind: SignalKind, ask: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        ask(breakers.entry(kind).or_default())
    }
}
