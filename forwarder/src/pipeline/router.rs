//! The second stage: selects destinations and streams, applies the rules, and adapts requests to their destination.

use super::options::Options;
use super::pieces::RequestPieces;
use super::report::Report;
use crate::deliver::outgoing::Outgoing;
use crate::destination::Destination;
use crate::ledger::{Account, Consumed, Ledger};
use crate::rules::{Effect, RuleSet};
use crate::source::{LogBatch, LogEventRange, MessageType};
use backend::sanitize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wire::Request;

/// Decides where telemetry goes.
pub(super) struct Router<'f, E> {
    pub(super) rules: &'f RuleSet,
    pub(super) destinations: &'f [Arc<Destination<E>>],
    pub(super) options: &'f Options,
    /// The forwarder's own account, if it is known.
    pub(super) account: Option<&'f str>,
    pub(super) has_warned_of_own: &'f AtomicBool,
}

/// The destinations of one batch, and the properties that all its requests share.
pub(super) struct Routing {
    pub(super) log_events: Arc<LogEventRange>,
    /// Service name from a rule. It replaces the name derived from log group and log stream.
    pub(super) service_name: Option<String>,
    /// `true` if the log events come from the retry queue. Their log group may have expired them.
    pub(super) is_redriven: bool,
    routes: Vec<DestinationRoute>,
}

struct DestinationRoute {
    destination: usize,
    stream: Option<Arc<str>>,
}

impl Routing {
    pub(super) fn routes(&self) -> usize {
        self.routes.len()
    }
}

/// Requests for one destination, and the effects of the rules on them.
#[derive(Default)]
pub(super) struct Routed {
    pub(super) account: Account,
    pub(super) outgoing: Vec<Outgoing>,
    /// Spans without valid ids.
    pub(super) refused: Vec<Outgoing>,
    /// Data points without a finite value.
    pub(super) dropped_points: usize,
    /// Attributes with a changed key.
    pub(super) renamed: usize,
    pub(super) rules: Vec<Effect>,
    /// Items that rules could not read.
    pub(super) unreadable: usize,
}

impl<E> Router<'_, E> {
    /// Adds the forwarder's region if the delivery names none.
    pub(super) fn with_region(&self, mut batch: LogBatch) -> LogBatch {
        batch.origin = batch.origin.or_region(self.options.region.as_deref());
        batch
    }

    /// Consumes control messages and the log events of the delivery path itself. Other batches get `None`.
    pub(super) fn consume(&self, batch: &LogBatch, report: &mut Report) -> Option<Ledger> {
        let events = batch.events.len();
        let consumed = if batch.message_type == MessageType::Control {
            report.note_oldest(batch);
            Consumed { control_messages: events, ..Consumed::default() }
        } else if self.is_own(batch) {
            // Once in each environment.
            if !self.has_warned_of_own.swap(true, Ordering::Relaxed) {
                report.warnings.push(format!(
                    "the log group {} is a forwarder's own: its events are dropped, remove its subscription",
                    batch.origin.log_group
                ));
            }
            Consumed { own_log_group: events, ..Consumed::default() }
        } else {
            return None;
        };
        Some(Ledger { events, consumed, ..Ledger::default() })
    }

    /// Returns `true` if the log group belongs to this stack, or to another stack of our template.
    fn is_own(&self, batch: &LogBatch) -> bool {
        let origin = &batch.origin;
        let is_here = || {
            self.account.is_none_or(|own| *own == origin.account)
                && self.options.region.as_ref().is_none_or(|own| *own == origin.region)
        };
        self.options.own_log_groups.iter().any(|own| match own.strip_suffix('*') {
            Some(prefix) => origin.log_group.starts_with(prefix),
            None => *own == origin.log_group && is_here(),
        })
    }

    /// Selects the destinations of a batch by its origin. The default is the first destination.
    pub(super) fn route(&self, batch: &LogBatch, is_redriven: bool) -> Routing {
        let LogBatch { origin, events, .. } = batch;
        let mut routes: Vec<DestinationRoute> = Vec::new();
        for route in self.rules.routes(origin) {
            let named = |destination: &Arc<Destination<E>>| destination.name() == route.destination;
            if let Some(destination) = self.destinations.iter().position(named) {
                routes.push(DestinationRoute { destination, stream: route.stream.map(Arc::from) });
            }
        }
        if routes.is_empty() {
            routes.push(DestinationRoute { destination: 0, stream: None });
        }
        for route in &mut routes {
            if route.stream.is_none()
                && let Some(destination) = self.destinations.get(route.destination)
            {
                route.stream = destination.stream(origin).map(Arc::from);
            }
        }
        let log_events = Arc::new(LogEventRange::of(origin, events));
        Routing { log_events, service_name: self.rules.service_name(origin), is_redriven, routes }
    }

    /// Applies the rules to requests and adapts them to each destination, in pieces of bounded size.
    pub(super) fn requests<'r>(
        &'r self,
        routing: &'r Routing,
        requests: Vec<Request>,
        service_name: &'r str,
    ) -> RoutedRequests<'r, E> {
        let most_bytes = self.options.enough_to_deliver;
        let pieces = RequestPieces::new(requests, self.rules.growth(), most_bytes);
        let (piece, ledger) = (Vec::new(), Ledger::default());
        RoutedRequests { router: self, routing, service_name, pieces, piece, ledger, route: 0 }
    }
}

/// The requests of one chunk, piece by piece, each piece for one destination after another.
pub(super) struct RoutedRequests<'r, E> {
    router: &'r Router<'r, E>,
    routing: &'r Routing,
    service_name: &'r str,
    pieces: RequestPieces,
    /// The current piece after the rules.
    piece: Vec<Request>,
    /// The items of the current piece, and those that rules dropped.
    ledger: Ledger,
    /// The next route of the current piece; 0 before the next piece.
    route: usize,
}

impl<E> Iterator for RoutedRequests<'_, E> {
    type Item = Routed;

    fn next(&mut self) -> Option<Routed> {
        let mut routed = Routed::default();
        if self.route == 0 {
            let requests = self.pieces.next()?;
            self.apply_rules(requests, &mut routed);
        }
        let route = self.routing.routes.get(self.route)?;
        let destination = self.router.destinations.get(route.destination)?;
        self.route = (self.route + 1) % self.routing.routes();
        let is_last = self.route == 0;
        let requests = if is_last { std::mem::take(&mut self.piece) } else { self.piece.clone() };
        routed.account.add(destination.name(), self.ledger);
        for request in requests {
            routed.adapt(request, destination, route, self.service_name, self.routing);
        }
        Some(routed)
    }
}

impl<E> RoutedRequests<'_, E> {
    fn apply_rules(&mut self, requests: Vec<Request>, routed: &mut Routed) {
        self.ledger = Ledger::default();
        for request in &requests {
            self.ledger += Ledger::of_items(request.kind(), request.items());
        }
        if self.router.rules.is_empty() {
            self.piece = requests;
            return;
        }
        let applied = self.router.rules.apply(&self.routing.log_events.origin, requests);
        self.ledger.dropped = applied.dropped();
        self.piece = applied.requests;
        routed.rules = applied.effects;
        routed.unreadable = applied.unreadable;
    }
}

impl Routed {
    /// Adapts a request to the destination's profile.
    fn adapt<E>(
        &mut self,
        request: Request,
        destination: &Destination<E>,
        route: &DestinationRoute,
        service_name: &str,
        routing: &Routing,
    ) {
        let sanitized = sanitize(destination.profile(), request, service_name);
        let dropped = sanitized.dropped;
        self.dropped_points += dropped;
        self.renamed += sanitized.renamed;
        self.account.add(destination.name(), Ledger { dropped, ..Ledger::default() });
        let outgoing = |request, survey| Outgoing {
            destination: route.destination,
            stream: route.stream.clone(),
            request,
            survey,
            log_events: Arc::clone(&routing.log_events),
        };
        self.outgoing.extend(sanitized.request.map(|request| outgoing(request, sanitized.survey)));
        self.refused.extend(sanitized.refused.map(|request| outgoing(request, None)));
    }
}
