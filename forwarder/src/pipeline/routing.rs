//! Decides where converted telemetry goes, to which destinations and which streams, and makes of it what each of them asks for.

use crate::deliver::outgoing::Outgoing;
use crate::destination::Destination;
use crate::ledger::{Account, Ledger};
use crate::rules::{Effect, RuleSet};
use crate::source::{LogBatch, LogEventRange};
use backend::sanitize;
use std::sync::Arc;
use wire::Request;

/// Where the telemetry of one batch goes, and what all of it has in common.
pub(super) struct Routing {
    pub(super) log_events: Arc<LogEventRange>,
    /// In place of the service name that log group and stream suggest, where a rule gives one.
    pub(super) service_name: Option<String>,
    routes: Vec<Route>,
}

/// One destination of a batch.
struct Route {
    /// Position of the destination.
    destination: usize,
    /// OpenObserve's stream, where one was chosen.
    stream: Option<Arc<str>>,
}

impl Routing {
    /// To how many destinations it goes.
    pub(super) fn routes(&self) -> usize {
        self.routes.len()
    }
}

/// What the rules left of requests, and what became of their items.
#[derive(Default)]
pub(super) struct Ruled {
    pub(super) requests: Vec<Request>,
    /// For each destination.
    pub(super) ledger: Ledger,
    pub(super) rules: Vec<Effect>,
    pub(super) unreadable: usize,
}

/// Requests that are ready to be delivered to one destination, and what became of their items so far.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) account: Account,
    pub(super) outgoing: Vec<Outgoing>,
    /// Spans without valid ids, on their way to the dead-letter queue.
    pub(super) refused: Vec<Outgoing>,
    /// Data points without a finite value.
    pub(super) dropped: usize,
}

/// Where the telemetry of a batch goes: as the rules say by its origin, else to the first destination.
pub(super) fn route<E>(
    rules: &RuleSet,
    destinations: &[Arc<Destination<E>>],
    batch: &LogBatch,
) -> Routing {
    let LogBatch { origin, events, .. } = batch;
    let mut routes: Vec<Route> = Vec::new();
    for route in rules.routes(origin) {
        let named = |destination: &Arc<Destination<E>>| destination.name() == route.destination;
        if let Some(destination) = destinations.iter().position(named) {
            routes.push(Route { destination, stream: route.stream.map(Arc::from) });
        }
    }
    if routes.is_empty() {
        routes.push(Route { destination: 0, stream: None });
    }
    for route in &mut routes {
        if route.stream.is_none()
            && let Some(destination) = destinations.get(route.destination)
        {
            route.stream = destination.stream(origin).map(Arc::from);
        }
    }
    let log_events = Arc::new(LogEventRange::of(origin, events));
    Routing { log_events, service_name: rules.service_name(origin), routes }
}

/// Applies the rules to requests of a batch.
pub(super) fn apply_rules(rules: &RuleSet, routing: &Routing, requests: Vec<Request>) -> Ruled {
    let mut ledger = Ledger::default();
    for request in &requests {
        ledger += Ledger::of_items(request.kind(), request.items());
    }
    if rules.is_empty() {
        return Ruled { requests, ledger, ..Ruled::default() };
    }
    let applied = rules.apply_all(&routing.log_events.origin, requests);
    ledger.dropped = applied.dropped();
    Ruled {
        requests: applied.requests,
        ledger,
        rules: applied.effects,
        unreadable: applied.unreadable,
    }
}

/// Makes requests what the destination of a route asks for.
pub(super) fn prepare<E>(
    destinations: &[Arc<Destination<E>>],
    routing: &Routing,
    route: usize,
    ledger: &Ledger,
    requests: Vec<Request>,
    service_name: &str,
) -> Prepared {
    let mut prepared = Prepared::default();
    // A destination of that position is there: routes are made of the same list.
    let route = routing.routes.get(route);
    let found = route.and_then(|route| Some((route, destinations.get(route.destination)?)));
    let Some((route, destination)) = found else { return prepared };
    prepared.account.add(destination.name(), *ledger);
    for request in requests {
        prepared.send(destination, route, request, service_name, routing);
    }
    prepared
}

impl Prepared {
    /// Makes a request what this destination asks for.
    fn send<E>(
        &mut self,
        destination: &Destination<E>,
        route: &Route,
        request: Request,
        service_name: &str,
        routing: &Routing,
    ) {
        let sanitized = sanitize(destination.profile(), request, service_name);
        let dropped = sanitized.dropped;
        self.dropped += dropped;
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
