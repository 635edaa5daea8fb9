//! Merges requests and delivers them, in parallel for each destination and signal.

mod bisect;
pub(crate) mod circuit_breaker;
pub(crate) mod destination;
mod endpoint;
pub(crate) mod ingest_window;
mod request_batch;

use backend::{Fate, Outcome, Reason};
use bisect::bisect_refused;
use circuit_breaker::{Admission, DestinationHealth};
use destination::{Destination, Export};
use endpoint::{Endpoints, NextBatch, end_of_silence};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::sync::Arc;
use tokio::time::Instant;
use wire::Request;

pub(crate) use endpoint::{FailingSince, SignalEndpoint};
pub(crate) use request_batch::RequestBatch;

/// A batch after its requests were sent. No report has counted it yet.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The batch without its requests.
    pub(crate) batch: RequestBatch,
    pub(crate) outcome: Outcome,
    pub(crate) health: DestinationHealth,
    pub(crate) dropped: usize,
    pub(crate) restamped: usize,
}

/// Limit on concurrent batches. One destination has three endpoints. Stream templates and routes make more batches, and all share the
/// forwarder's memory and connections.
const MAX_AT_ONCE: usize = 6;

/// Sends all requests before the deadline. With `failing_since`, each endpoint also ends some time after it began to fail, in this
/// delivery or an earlier one, see [`endpoint::end_of_silence`].
pub(crate) async fn deliver<E: Export>(
    destinations: &[Arc<Destination<E>>],
    batches: Vec<RequestBatch>,
    context: DeliveryContext,
    failing_since: Option<&mut FailingSince>,
) -> Vec<Sent> {
    let mut all_sent = Vec::with_capacity(batches.len());
    let mut endpoints = Endpoints::new(destinations, batches, context, failing_since.as_deref());
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < MAX_AT_ONCE
            && let Some(next) = endpoints.take_next()
        {
            let deadline = match failing_since {
                Some(_) => end_of_silence(next.silent_since).min(context.deadline),
                None => context.deadline,
            };
            running.push(send(next, context, deadline));
        }
        let Some(sent) = running.next().await else { break };
        endpoints.note(&sent);
        all_sent.push(sent);
    }
    if let Some(failing_since) = failing_since {
        endpoints.note_failing(failing_since);
    }
    if context.has_retry_queue {
        endpoints.update_breakers(context.observed_unix_nano);
    }
    all_sent
}

/// The reason of telemetry that is queued for retry without an attempt.
const PAUSED: &str =
    "earlier deliveries failed; the destination is tried again after 30 s to 2 min";

/// Sends the merged requests of a batch one after another.
async fn send<E: Export>(
    next: NextBatch<'_, E>,
    context: DeliveryContext,
    deadline: Instant,
) -> Sent {
    let NextBatch { destination, mut admission, mut batch, .. } = next;
    let requests = std::mem::take(&mut batch.requests);
    let known_range = batch.facts.as_ref().map(|facts| facts.times);
    let column_facts = batch.facts.as_ref().map(|facts| Arc::new(facts.to_column_facts()));
    let mut sent = Sent {
        batch,
        outcome: Outcome::default(),
        health: DestinationHealth::Unknown,
        dropped: 0,
        restamped: 0,
    };
    for merged in wire::merge(requests, destination.config.max_request_bytes) {
        let request = match &column_facts {
            Some(facts) => merged.with_column_facts(Arc::clone(facts)),
            None => merged,
        };
        let now = context.now_unix_nano();
        let sorted = destination.policy.sort(request, known_range, now);
        sent.dropped += sorted.dropped;
        sent.restamped += sorted.restamped;
        if let Some(outside) = sorted.outside {
            sent.outcome += Outcome::unsent(outside, Reason::OutsideWindow, Fate::DeadLetter);
        }
        let outcome = match sorted.timely {
            None => Outcome::default(),
            Some(request) if admission == Admission::Park => {
                let reason = Reason::ParkedAtOnce { text: PAUSED.to_owned() };
                Outcome::unsent(request, reason, Fate::Park)
            }
            Some(request) => {
                let stream = sent.batch.stream.as_deref();
                export(&destination.export, stream, request, context.attempt, deadline).await
            }
        };
        let health = DestinationHealth::shown_by(&outcome);
        if admission == Admission::Probe && health != DestinationHealth::Unknown {
            admission = Admission::after_probe(health);
        }
        sent.health = sent.health.max(health);
        sent.outcome += outcome;
    }
    sent
}

/// The first attempt that sends a request with rejected content again in pieces.
const FIRST_BISECTED_ATTEMPT: u32 = 2;

/// Exports a request. From [`FIRST_BISECTED_ATTEMPT`] on, one with rejected content is sent again in pieces.
async fn export<E: Export>(
    export: &E,
    stream: Option<&str>,
    request: Request,
    attempt: u32,
    deadline: Instant,
) -> Outcome {
    let outcome = export.export(stream, request, deadline).await;
    match attempt.checked_sub(FIRST_BISECTED_ATTEMPT) {
        Some(refinement) => bisect_refused(export, stream, outcome, refinement, deadline).await,
        None => outcome,
    }
}

/// The conditions of one delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeliveryContext {
    /// Wall-clock time at the start of the invocation.
    pub(crate) observed_unix_nano: u64,
    /// The same time by the monotonic clock.
    pub(crate) observed_at: Instant,
    /// `true` if there is a retry queue. Without one, a failing destination is tried each time, because Lambda retries anyway.
    pub(crate) has_retry_queue: bool,
    /// Counts from 1.
    pub(crate) attempt: u32,
    pub(crate) deadline: Instant,
}

impl DeliveryContext {
    /// The current time. During a long invocation, a record may leave the ingest window.
    fn now_unix_nano(&self) -> u64 {
        let since = u64::try_from(self.observed_at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.observed_unix_nano.saturating_add(since)
    }
}
