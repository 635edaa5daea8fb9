//! Requests on their way to a destination, and which of them may be merged.

use crate::source::LogEventRange;
use std::sync::Arc;
use wire::{Request, SignalKind};

/// What goes well or wrong together: telemetry of one signal on its way to one destination, by its position.
pub(crate) type Lane = (usize, SignalKind);

/// A request on its way to one destination, sanitized.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Position of the destination.
    pub(crate) destination: usize,
    /// OpenObserve's stream, where one was chosen.
    pub(crate) stream: Option<Arc<str>>,
    /// The request.
    pub(crate) request: Request,
    /// What is known of its items.
    pub(crate) survey: Option<backend::Survey>,
    /// The log events that it was made of.
    pub(crate) log_events: Arc<LogEventRange>,
}

/// Requests that may be merged: of one destination, stream and signal.
pub(super) struct Group {
    pub(super) destination: usize,
    pub(super) stream: Option<Arc<str>>,
    pub(super) kind: SignalKind,
    pub(super) requests: Vec<Request>,
    /// What is known of all items.
    pub(super) survey: Option<backend::Survey>,
    log_events: Arc<LogEventRange>,
    last_log_events: Arc<LogEventRange>,
}

impl Group {
    /// What it goes well or wrong together with.
    pub(super) fn lane(&self) -> Lane {
        (self.destination, self.kind)
    }

    /// Bytes of all its requests.
    pub(super) fn bytes(&self) -> usize {
        self.requests.iter().map(|request| request.bytes().len()).sum()
    }

    /// The log events of all its requests: from where the first came from, to the last event.
    pub(super) fn log_events(&self) -> Arc<LogEventRange> {
        let Self { log_events: first, last_log_events: last, .. } = self;
        if Arc::ptr_eq(first, last) {
            return Arc::clone(first);
        }
        let last_event_id = last.last_event_id.clone();
        Arc::new(LogEventRange { last_event_id, ..LogEventRange::clone(first) })
    }
}

/// Puts together what may be merged, in the order in which the first of each group comes.
pub(super) fn group(outgoing: Vec<Outgoing>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for Outgoing { destination, stream, request, survey, log_events } in outgoing {
        let kind = request.kind();
        let of_group = |group: &&mut Group| {
            (group.destination, group.kind) == (destination, kind) && group.stream == stream
        };
        match groups.iter_mut().find(of_group) {
            Some(group) => {
                group.requests.push(request);
                let both = group.survey.zip(survey);
                group.survey = both.map(|(survey, others)| survey.and(&others));
                group.last_log_events = log_events;
            }
            None => groups.push(Group {
                destination,
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
