//! The destinations that a forwarder sends to, by name.

use backend::{Outcome, Profile};
use std::future::Future;
use tokio::time::Instant;
use wire::Request;

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
}

impl<T: backend::Transport + Send> Export for backend::Client<T> {
    async fn export(&self, stream: Option<&str>, request: Request, deadline: Instant) -> Outcome {
        backend::Client::export(self, stream, request, deadline).await
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
pub struct Outlet<E> {
    /// What rules and parked messages call it.
    pub name: String,
    /// Sends to it.
    pub export: E,
    /// What it asks of telemetry.
    pub profile: Profile,
    /// Largest request before compression, in bytes.
    pub max_request_bytes: usize,
}
