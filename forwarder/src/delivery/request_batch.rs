//! Requests that may be merged, on their way to one destination.

use super::destination::{DestinationRoute, StoredStreams};
use super::endpoint::SignalEndpoint;
use crate::source::LogEventRange;
use backend::RequestFacts;
use std::sync::Arc;
use wire::{Request, SignalKind};

/// Adapted requests of one signal for one destination and stream, which may be merged.
#[derive(Debug)]
pub(crate) struct RequestBatch {
    pub(crate) endpoint: SignalEndpoint,
    /// The stream to name in the requests; `None` for the destination's default.
    pub(crate) stream: Option<Arc<str>>,
    pub(super) stored_streams: Option<StoredStreams>,
    pub(super) requests: Vec<Request>,
    /// The facts about all requests; `None` if they are unknown for one.
    pub(super) facts: Option<RequestFacts>,
    /// The log events of all requests: from the first request's origin to the last event.
    pub(crate) log_events: Arc<LogEventRange>,
}

impl RequestBatch {
    /// Creates a batch with one request. Metrics have no stream.
    pub(crate) fn new<E>(
        route: &DestinationRoute<'_, E>,
        request: Request,
        facts: Option<RequestFacts>,
        log_events: Arc<LogEventRange>,
    ) -> Self {
        let signal = request.kind();
        let stream = route.stream.clone().filter(|_| signal != SignalKind::Metrics);
        Self {
            endpoint: SignalEndpoint { destination: route.position, signal },
            stored_streams: route.destination.stored_streams(signal, stream.as_deref()),
            stream,
            requests: vec![request],
            facts,
            log_events,
        }
    }

    /// Returns `true` if a request with this endpoint and stream belongs into the batch.
    pub(crate) fn accepts(&self, endpoint: SignalEndpoint, stream: Option<&Arc<str>>) -> bool {
        let is_same_stream =
            endpoint.signal == SignalKind::Metrics || self.stream.as_ref() == stream;
        self.endpoint == endpoint && is_same_stream
    }

    /// Adds a request whose log events follow the others.
    pub(crate) fn add(
        &mut self,
        request: Request,
        facts: Option<RequestFacts>,
        log_events: &Arc<LogEventRange>,
    ) {
        self.requests.push(request);
        self.facts = self.facts.take().zip(facts).map(|(all, other)| all.and(other));
        let is_same_range = Arc::ptr_eq(&self.log_events, log_events);
        if !is_same_range {
            let range = Arc::make_mut(&mut self.log_events);
            range.last_event_id.clone_from(&log_events.last_event_id);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.requests.iter().map(|request| request.bytes().len()).sum()
    }
}
