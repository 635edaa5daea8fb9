//! The endpoints of a delivery: which batch is sent next, and what the results of an endpoint say about its destination.

use super::circuit_breaker::{Admission, DestinationHealth};
use super::destination::{Destination, StoredStreams};
use super::request_batch::RequestBatch;
use super::{DeliveryContext, Sent};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::SignalKind;

/// Telemetry of one signal for one destination, which succeeds or fails together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SignalEndpoint {
    /// Position in the list of destinations.
    pub(crate) destination: usize,
    pub(crate) signal: SignalKind,
}

/// The beginning of each endpoint's failure, in one event.
pub(crate) type FailingSince = BTreeMap<SignalEndpoint, Instant>;

/// Without an accepted item for this long, the delivery to an endpoint ends. An outage must not use up the account's concurrency.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// The endpoints of one delivery.
pub(super) struct Endpoints<'a, E> {
    states: BTreeMap<SignalEndpoint, EndpointState<'a, E>>,
    /// The streams to which a batch is being sent.
    busy_streams: Vec<StoredStreams>,
    began: Instant,
}

/// An endpoint's batches, and what is known about its destination.
struct EndpointState<'a, E> {
    destination: &'a Destination<E>,
    /// Batches to send, smallest first.
    waiting: VecDeque<RequestBatch>,
    /// How the next batch is sent.
    admission: Admission,
    running: usize,
    /// The time since which the destination has accepted no item: that of the last accepted one, or else of the beginning of the
    /// endpoint's failure in an earlier delivery, or of the first request. `None` before the first request.
    silent_since: Option<Instant>,
    health: DestinationHealth,
    /// The part of this silence within this delivery, until the last result; `None` before a result.
    silent_for: Option<Duration>,
}

/// A batch that may be sent now.
pub(super) struct NextBatch<'a, E> {
    pub(super) destination: &'a Destination<E>,
    pub(super) admission: Admission,
    pub(super) batch: RequestBatch,
    /// The time since which its destination has accepted no item of the endpoint.
    pub(super) silent_since: Instant,
}

impl<'a, E> Endpoints<'a, E> {
    /// Sorts batches into endpoints. If a destination failed recently and there is a retry queue, the endpoint's smallest batch is
    /// a probe, or all are parked.
    pub(super) fn new(
        destinations: &'a [Arc<Destination<E>>],
        mut batches: Vec<RequestBatch>,
        context: DeliveryContext,
        failing_since: Option<&FailingSince>,
    ) -> Self {
        batches.sort_by_key(RequestBatch::bytes);
        let mut states = BTreeMap::new();
        for batch in batches {
            let endpoint = batch.endpoint;
            // Always found: the batch was made from the same list.
            let Some(destination) = destinations.get(endpoint.destination) else { continue };
            let state = states.entry(endpoint).or_insert_with(|| {
                let silent_since = failing_since.and_then(|since| since.get(&endpoint).copied());
                EndpointState::new(destination, endpoint.signal, context, silent_since)
            });
            state.waiting.push_back(batch);
        }
        Self { states, busy_streams: Vec::new(), began: Instant::now() }
    }

    /// Takes the next batch, preferably of an idle endpoint, so that a hanging destination does not block the others. The batches of
    /// the same streams are sent one after another.
    pub(super) fn take_next(&mut self) -> Option<NextBatch<'a, E>> {
        let candidate_of = |(endpoint, state): (&SignalEndpoint, &EndpointState<'a, E>)| {
            let position = state.next_position(&self.busy_streams)?;
            let bytes = state.waiting.get(position)?.bytes();
            Some(Candidate { endpoint: *endpoint, position, is_busy: state.running > 0, bytes })
        };
        let candidates = self.states.iter().filter_map(candidate_of);
        let next = candidates.min_by_key(|candidate| (candidate.is_busy, candidate.bytes))?;
        let state = self.states.get_mut(&next.endpoint)?;
        let batch = state.waiting.remove(next.position)?;
        state.running += 1;
        self.busy_streams.extend(batch.stored_streams);
        let silent_since = *state.silent_since.get_or_insert_with(Instant::now);
        Some(NextBatch {
            destination: state.destination,
            admission: state.admission,
            batch,
            silent_since,
        })
    }

    /// Notes the result of a batch from [`take_next`](Self::take_next).
    pub(super) fn note(&mut self, sent: &Sent) {
        let is_sent = |busy: &StoredStreams| Some(*busy) == sent.batch.stored_streams;
        if let Some(position) = self.busy_streams.iter().position(is_sent) {
            self.busy_streams.swap_remove(position);
        }
        let Some(state) = self.states.get_mut(&sent.batch.endpoint) else { return };
        state.running -= 1;
        // Earlier deliveries of the event do not count, so that their failures do not lengthen the pause after this one.
        let silent_since = state.silent_since.map(|since| since.max(self.began));
        state.silent_for = silent_since.map(|since| since.elapsed());
        if sent.health == DestinationHealth::Accepting {
            state.silent_since = Some(Instant::now());
        }
        state.health = state.health.max(sent.health);
        if state.admission == Admission::Probe {
            state.admission = Admission::after_probe(sent.health);
        }
    }

    /// Notes in `failing_since` which endpoints fail, for the next delivery of the same event.
    pub(super) fn note_failing(&self, failing_since: &mut FailingSince) {
        for (endpoint, state) in &self.states {
            match state.health {
                DestinationHealth::Accepting => {
                    failing_since.remove(endpoint);
                }
                DestinationHealth::Failing => {
                    failing_since.entry(*endpoint).or_insert(self.began);
                }
                DestinationHealth::Unknown => {}
            }
        }
    }

    /// Notes in each endpoint's circuit breaker what its results say.
    pub(super) fn update_breakers(&self, observed_unix_nano: u64) {
        for (endpoint, state) in &self.states {
            if let Some(silent_for) = state.silent_for {
                state.destination.with_breaker(endpoint.signal, |breaker| {
                    breaker.note(state.health, observed_unix_nano, silent_for);
                });
            }
        }
    }
}

/// The batch of an endpoint that could be sent next.
struct Candidate {
    endpoint: SignalEndpoint,
    /// Position of the batch among those of its endpoint.
    position: usize,
    is_busy: bool,
    bytes: usize,
}

impl<'a, E> EndpointState<'a, E> {
    fn new(
        destination: &'a Destination<E>,
        signal: SignalKind,
        context: DeliveryContext,
        silent_since: Option<Instant>,
    ) -> Self {
        let admission = if context.has_retry_queue {
            destination.with_breaker(signal, |breaker| breaker.admit(context.observed_unix_nano))
        } else {
            Admission::Send
        };
        Self {
            destination,
            waiting: VecDeque::new(),
            admission,
            running: 0,
            silent_since,
            health: DestinationHealth::Unknown,
            silent_for: None,
        }
    }

    /// The first waiting batch whose streams are free. All batches wait for the result of a probe.
    fn next_position(&self, busy_streams: &[StoredStreams]) -> Option<usize> {
        if self.admission == Admission::Probe && self.running > 0 {
            return None;
        }
        let is_free = |batch: &RequestBatch| {
            let streams = batch.stored_streams.as_ref();
            streams.is_none_or(|streams| !busy_streams.contains(streams))
        };
        self.waiting.iter().position(is_free)
    }
}

/// The time at which the delivery to an endpoint ends whose destination has accepted no item since `silent_since`.
pub(super) fn end_of_silence(silent_since: Instant) -> Instant {
    silent_since + LONGEST_SILENCE
}
