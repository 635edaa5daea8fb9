//! Decides where converted telemetry goes, to which destinations and which streams, and makes of it what each of them asks for.

use crate::deliver::outgoing::Outgoing;
use crate::destination::Destination;
use crate::ledger::{Account, Ledger};
use crate::rules::{Effect, RuleSet};
use crate::source::{LogBatch, LogEventRange};
use backend::{DropReason, sanitize};
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

/// The requests of a batch, ready to be delivered, and what became of their items so far.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) account: Account,
    pub(super) outgoing: Vec<Outgoing>,
    pub(super) dropped: Vec<(DropReason, usize)>,
    pub(super) rules: Vec<Effect>,
    pub(super) unreadable: usize,
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

/// Applies the rules to the requests of a batch, and makes them what each of their destinations asks for.
pub(super) fn prepare<E>(
    rules: &RuleSet,
    destinations: &[Arc<Destination<E>>],
    routing: &Routing,
    requests: Vec<Request>,
    service_name: &str,
) -> Prepared {
    let mut prepared = Prepared::default();
    let mut counted = Ledger::default();
    for request in &requests {
        counted += Ledger::of_items(request.kind(), request.items());
    }
    let mut requests = requests;
    if !rules.is_empty() {
        let applied = rules.apply_all(&routing.log_events.origin, requests);
        counted.dropped = applied.dropped();
        prepared.rules = applied.effects;
        prepared.unreadable = applied.unreadable;
        requests = applied.requests;
    }
    // A destination of that position is there: routes are made of the same list.
    let mut routes: Vec<_> = routing
        .routes
        .iter()
        .filter_map(|route| Some((route, destinations.get(route.destination)?)))
        .collect();
    for (_, destination) in &routes {
        prepared.account.add(destination.name(), counted);
    }
    let Some((last_route, last)) = routes.pop() else { return prepared };
    for request in requests {
        for (route, destination) in &routes {
            prepared.send(destination, route, request.clone(), service_name, routing);
        }
        prepared.send(last, last_route, request, service_name, routing);
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
        let mut dropped = Ledger::default();
        let sanitized = sanitize(destination.profile(), request, service_name);
        for (reason, items) in sanitized.dropped {
            dropped.dropped += items;
            self.dropped.push((reason, items));
        }
        self.account.add(destination.name(), dropped);
        let survey = sanitized.survey;
        self.outgoing.extend(sanitized.request.map(|request| Outgoing {
            destination: route.destination,
            stream: route.stream.clone(),
            request,
            survey,
            log_events: Arc::clone(&routing.log_events),
        }));
    }
}
