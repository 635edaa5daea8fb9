//! The client that a binary holds: a destination, its connection, and the account of each export.

use crate::answer::Profile;
use crate::delivery::Delivery;
use crate::destination::Destination;
use crate::export::{Compression, export};
use crate::http_transport::HttpTransport;
use crate::mask::Mask;
use crate::outcome::Outcome;
use crate::retry::{Jitter, RetryPolicy};
use std::time::Duration;
use tokio::time::Instant;
use wire::Request;

/// Why there is no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A header of the destination cannot be sent.
    #[error("header {name} holds characters that HTTP does not allow")]
    Header {
        /// Its name.
        name: String,
    },
    /// TLS cannot be set up, for instance because the system has no certificates.
    #[error("cannot set up the HTTP client: {text}")]
    Build {
        /// The first cause.
        text: String,
    },
}

/// Sends requests of all signals to one destination. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    transport: HttpTransport,
    profile: Profile,
    compression: Compression,
    request_timeout: Duration,
    max_request_bytes: usize,
    policy: RetryPolicy,
    mask: Mask,
}

impl Client {
    /// Prepares a client without touching the network: names are resolved and connections made by the first export.
    pub fn new(destination: &Destination) -> Result<Self, ClientError> {
        Ok(Self {
            transport: HttpTransport::new(destination)?,
            profile: destination.profile,
            compression: destination.compression,
            request_timeout: destination.request_timeout,
            max_request_bytes: destination.max_request_bytes,
            policy: RetryPolicy::default(),
            mask: Mask::of(destination),
        })
    }

    /// The same client with another retry policy.
    #[must_use]
    pub fn with_retry_policy(self, policy: RetryPolicy) -> Self {
        Self { policy, ..self }
    }

    /// What the destination asks of OTLP; [`sanitize`](crate::sanitize) wants to know.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The destination's bound on the bytes of a request; [`wire::merge`] wants to know.
    pub fn max_request_bytes(&self) -> usize {
        self.max_request_bytes
    }

    /// Delivers the request, repeating, splitting and halving it as the answers ask for, until each of its items is
    /// accepted or accounted for. Takes no longer than to `deadline`, nor than the retry policy's budget.
    pub async fn export(&self, request: Request, deadline: Instant) -> Outcome {
        let now = Instant::now();
        let deadline =
            now.checked_add(self.policy.budget()).map_or(deadline, |end| end.min(deadline));
        let delivery = Delivery::new(
            self.profile,
            self.policy,
            Jitter::random(),
            deadline.saturating_duration_since(now),
            self.max_request_bytes,
            request,
        )
        .masking(self.mask.clone());
        export(&self.transport, self.compression, self.request_timeout, deadline, delivery).await
    }
}
