//! Outgoing requests, and groups of requests to merge.

use crate::destination::{Destination, Place};
use crate::source::LogEventRange;
use std::sync::Arc;
use wire::{Request, SignalKind};

/// Telemetry of one signal for one destination (by position), which succeeds or fails together.
pub(crate) type Lane = (usize, SignalKind);

/// An adapted request for one destination.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) destination: usize,
    pub(crate) stream: Option<Arc<str>>,
    pub(crate) request: Request,
    pub(crate) survey: Option<backend::Survey>,
    pub(crate) log_events: Arc<LogEventRange>,
}

/// Requests of one destination, stream and signal, which may be merged.
pub(super) struct MergeGroup {
    pub(super) destination: usize,
    pub(super) stream: Option<Arc<str>>,
    pub(super) kind: SignalKind,
    pub(super) place: Option<Place>,
    pub(super) requests: Vec<Request>,
    pub(super) survey: Option<backend::Survey>,
    log_events: Arc<LogEventRange>,
    last_log_events: Arc<LogEventRange>,
}

impl MergeGroup {
    pub(super) fn lane(&self) -> Lane {
        (self.destination, self.kind)
    }

    pub(super) fn bytes(&self) -> usize {
        self.requests.iter().map(|request| request.bytes().len()).sum()
    }

    /// The log events behind all requests: from the first request's origin to the last event.
    pub(super) fn log_events(&self) -> Arc<LogEventRange> {
        let Self { log_events: first, last_log_events: last, .. } = self;
        if Arc::ptr_eq(first, last) {
            return Arc::clone(first);
        }
        let last_event_id = last.last_event_id.clone();
        Arc::new(LogEventRange { last_event_id, ..LogEventRange::clone(first) })
    }
}

/// Groups requests, in the order of each group's first request. Metrics have no stream.
pub(super) fn group<E>(
    destinations: &[Arc<Destination<E>>],
    outgoing: Vec<Outgoing>,
) -> Vec<MergeGroup> {
    let mut groups: Vec<MergeGroup> = Vec::new();
    for Outgoing { destination, stream, request, survey, log_events } in outgoing {
        let kind = request.kind();
        let stream = stream.filter(|_| kind != SignalKind::Metrics);
        let of_group = |group: &&mut MergeGroup| {
            (group.destination, group.kind) == (destination, kind) && group.stream == stream
        };
        match groups.iter_mut().find(of_group) {
            Some(group) => {
                group.requests.push(request);
                let both = group.survey.zip(survey);
                group.survey = both.map(|(survey, others)| survey.and(&others));
                group.last_log_events = log_events;
            }
            None => groups.push(MergeGroup {
                destination,
                place: destinations
                    .get(destination)
                    .and_then(|it| it.place(kind, stream.as_deref())),
                stream,
                kind,
                requests: vec![request],
                survey,
                last_log_events: Arc::clone(&log_events),
                log_events,
            }),
        }
    }
    groups
}
