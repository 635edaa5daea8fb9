//! Selects the destinations and streams of a batch.

use super::{Arrival, Forwarder};
use crate::delivery::destination::DestinationRoute;
use crate::invocation::InvocationContext;
use crate::ledger::{Consumed, Ledger};
use crate::report::Report;
use crate::source::{LogBatch, LogEventRange, Origin};
use backend::{Telemetry, WrittenLogGroup};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wire::Request;

/// The destinations of one batch, and the properties that all its requests share.
pub(super) struct Routing<'f, E> {
    pub(super) log_events: Arc<LogEventRange>,
    pub(super) arrival: Arrival,
    pub(super) routes: Vec<DestinationRoute<'f, E>>,
}

/// The part of requests that goes to one destination.
pub(super) struct RoutePart<'r, 'f, E> {
    pub(super) route: &'r DestinationRoute<'f, E>,
    pub(super) requests: Vec<Request>,
    pub(super) ledger: Ledger,
    /// Items that no destination takes. The first one's ledger counts them as dropped.
    pub(super) not_taken: usize,
}

/// A request with its kind of telemetry; `None` if each destination takes all kinds.
type OfKind = (Option<Telemetry>, Request);

impl<'f, E> Routing<'f, E> {
    /// Gives each destination in turn the telemetry that it takes. `ledger` has the items of the requests, and those that rules
    /// dropped before. Only the part that is asked for is copied, and the last one isn't.
    pub(super) fn share_out(
        &self,
        requests: Vec<Request>,
        ledger: Ledger,
    ) -> impl Iterator<Item = RoutePart<'_, 'f, E>> {
        let take_all = self.routes.iter().all(|it| it.destination.config.signals.take_all());
        let mut rest: Vec<OfKind> = if take_all {
            requests.into_iter().map(|request| (None, request)).collect()
        } else {
            let divided = requests.into_iter().flat_map(Telemetry::divide);
            divided.map(|(telemetry, part)| (Some(telemetry), part)).collect()
        };
        self.routes.iter().enumerate().map(move |(position, route)| {
            let is_last = position + 1 == self.routes.len();
            let own = if is_last { std::mem::take(&mut rest) } else { rest.clone() };
            let mut part = RoutePart { route, requests: Vec::new(), ledger, not_taken: 0 };
            for (telemetry, request) in own {
                let (kind, items) = (request.kind(), request.items());
                if route.takes(telemetry) {
                    part.requests.push(request);
                } else if position == 0 && !self.routes.iter().any(|it| it.takes(telemetry)) {
                    part.ledger.dropped += items;
                    part.not_taken += items;
                } else {
                    part.ledger.items.remove(kind, items);
                }
            }
            part
        })
    }
}

impl<E> DestinationRoute<'_, E> {
    fn takes(&self, telemetry: Option<Telemetry>) -> bool {
        telemetry.is_none_or(|it| self.destination.config.signals.take(it))
    }
}

impl<E, Q> Forwarder<E, Q> {
    /// Accounts for control messages, and for log events of the delivery path itself.
    pub(super) fn consume(&self, batch: &LogBatch, report: &mut Report) {
        let events = batch.events.len();
        let consumed = if batch.is_control {
            report.note_oldest(batch);
            Consumed { control_messages: events, ..Consumed::default() }
        } else {
            // Once in each environment.
            let is_first = !self.has_warned_of_own.swap(true, Ordering::Relaxed);
            if is_first {
                report.warnings.push(format!(
                    "the log group {} is a forwarder's own, or its destination writes it: its events are dropped, remove its subscription",
                    batch.origin.log_group
                ));
            }
            Consumed { own_log_group: events, ..Consumed::default() }
        };
        report.ledgers.total += Ledger { events, consumed, ..Ledger::default() };
    }

    /// Returns `true` if the log group belongs to this stack, to another stack of our template, or to what a destination writes.
    pub(super) fn is_own(&self, origin: &Origin, invocation: &InvocationContext) -> bool {
        let is_in_own_account = || {
            invocation.account.as_ref().is_none_or(|own| *own == origin.account)
                && self.options.region.as_ref().is_none_or(|own| *own == origin.region)
        };
        // Forwarding what a destination writes to it would never end.
        let is_written = self.destinations.iter().any(|destination| {
            let is_same = |written: &WrittenLogGroup| {
                written.name == origin.log_group && written.region == origin.region
            };
            destination.written_log_groups.iter().any(is_same)
        });
        if is_written && is_in_own_account() {
            return true;
        }
        self.options.own_log_groups.iter().any(|own| match own.strip_suffix('*') {
            // The log groups of all stacks of the template, in any account.
            Some(prefix) => origin.log_group.starts_with(prefix),
            None => *own == origin.log_group && is_in_own_account(),
        })
    }

    /// Selects the destinations of a batch by its origin. The default is the first destination.
    pub(super) fn select_routes(&self, batch: &LogBatch, arrival: Arrival) -> Routing<'_, E> {
        let LogBatch { origin, events, .. } = batch;
        let of_rules = self.rules.routes(origin).into_iter().filter_map(|selected| {
            let route = self.route_to(selected.destination)?;
            let stream = selected.stream.or_else(|| route.destination.stream(origin));
            Some(DestinationRoute { stream: stream.map(Arc::from), ..route })
        });
        let mut routes: Vec<_> = of_rules.collect();
        if routes.is_empty() {
            routes.extend(self.destinations.first().map(|destination| {
                let stream = destination.stream(origin).map(Arc::from);
                DestinationRoute { position: 0, destination, stream }
            }));
        }
        Routing { log_events: Arc::new(LogEventRange::of(origin, events)), arrival, routes }
    }

    /// The route to the destination of this name, without a stream; `None` if there is no such destination.
    pub(crate) fn route_to(&self, name: &str) -> Option<DestinationRoute<'_, E>> {
        let position = self.destinations.iter().position(|it| it.name == name)?;
        let destination = self.destinations.get(position)?;
        Some(DestinationRoute { position, destination, stream: None })
    }
}
