//! The second stage: applies the rules to requests, and adapts them to each destination.

use super::router::{DestinationRoute, Router, Routing};
use crate::delivery::Parcel;
use crate::delivery::destination::Destination;
use crate::ledger::Ledger;
use crate::queues::put::ToEnqueue;
use crate::report::Report;
use crate::rules::Growth;
use backend::{Fate, Reason, UndeliveredPart, sanitize};
use std::collections::VecDeque;
use std::sync::Arc;
use wire::{Request, SignalKind};

/// Requests for one destination, and the effects of the rules on them.
#[derive(Default)]
pub(crate) struct Routed {
    pub(super) report: Report,
    pub(super) parcels: Vec<Parcel>,
    /// Spans without valid ids.
    pub(super) refused: Vec<ToEnqueue>,
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

impl<'r, E> RoutedRequests<'r, E> {
    /// Applies the rules to requests and adapts them to each destination, in pieces of bounded size.
    pub(super) fn new(
        router: &'r Router<'r, E>,
        routing: &'r Routing,
        requests: Vec<Request>,
        service_name: &'r str,
    ) -> Self {
        let most_bytes = router.options.enough_to_deliver;
        let pieces = RequestPieces::new(requests, router.rules.growth(), most_bytes);
        let (piece, ledger) = (Vec::new(), Ledger::default());
        Self { router, routing, service_name, pieces, piece, ledger, route: 0 }
    }
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
        self.route = (self.route + 1) % self.routing.routes.len();
        let is_last = self.route == 0;
        let requests = if is_last { std::mem::take(&mut self.piece) } else { self.piece.clone() };
        routed.report.account.add(destination.name(), self.ledger);
        for request in requests {
            self.adapt(request, destination, route, &mut routed);
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
        routed.report.rules = applied.effects;
        routed.report.unreadable = applied.unreadable;
    }

    /// Adapts a request to the destination's profile.
    fn adapt(
        &self,
        request: Request,
        destination: &Destination<E>,
        route: &DestinationRoute,
        routed: &mut Routed,
    ) {
        let sanitized = sanitize(destination.profile(), request, self.service_name);
        let dropped = sanitized.dropped;
        routed.report.dropped_points += dropped;
        routed.report.renamed += sanitized.renamed;
        routed.report.account.add(destination.name(), Ledger { dropped, ..Ledger::default() });
        let log_events = &self.routing.log_events;
        routed.parcels.extend(sanitized.request.map(|request| Parcel {
            destination: route.destination,
            stream: route.stream.clone(),
            request,
            survey: sanitized.survey,
            log_events: Arc::clone(log_events),
        }));
        routed.refused.extend(sanitized.refused.map(|request| {
            let (items, fate) = (request.items(), Fate::DeadLetter);
            let part = UndeliveredPart { request, items, reason: Reason::InvalidIds, fate };
            let (name, stream) = (destination.name(), route.stream.as_deref());
            let first_seen = self.router.observed_unix_nano;
            let letter = ToEnqueue::of_part(part, name, stream, log_events, first_seen);
            ToEnqueue { is_in_log_group: !self.routing.is_redriven, ..letter }
        }));
    }
}

/// An exponential data point becomes a histogram of about sixty buckets.
const POINT_GROWTH: usize = 1100;

/// Limit on the bytes of resources and scopes repeated by cutting. Only crafted requests reach it; the rest then stays in one
/// piece.
const MOST_REPEATED_BYTES: usize = 8 << 20;

/// An iterator over pieces of converted requests.
pub(super) struct RequestPieces {
    rest: VecDeque<Request>,
    growth: Growth,
    most_bytes: usize,
    repeated_bytes: usize,
}

impl RequestPieces {
    /// Creates pieces of about `most_bytes` after each item has grown.
    pub(super) fn new(requests: Vec<Request>, growth: Growth, most_bytes: usize) -> Self {
        Self { rest: requests.into(), growth, most_bytes, repeated_bytes: 0 }
    }

    /// The estimated size of a request after rules and adaptation.
    fn estimate(&self, request: &Request) -> usize {
        let Growth { item_bytes, may_double } = self.growth;
        let of_kind = if request.kind() == SignalKind::Metrics { POINT_GROWTH } else { 0 };
        let bytes = request.bytes().len() * if may_double { 2 } else { 1 };
        bytes.saturating_add(request.items().saturating_mul(item_bytes.saturating_add(of_kind)))
    }

    /// Halves a request until it fits into a piece.
    fn cut(&mut self, mut request: Request) -> Request {
        while request.items() > 1
            && self.estimate(&request) > self.most_bytes
            && self.repeated_bytes < MOST_REPEATED_BYTES
        {
            let (bytes, half) = (request.bytes().len(), request.items() / 2);
            let (first, second) = request.split_at(half);
            let both = first.bytes().len() + second.bytes().len();
            self.repeated_bytes += both.saturating_sub(bytes);
            self.rest.push_front(second);
            request = first;
        }
        request
    }
}

impl Iterator for RequestPieces {
    type Item = Vec<Request>;

    fn next(&mut self) -> Option<Vec<Request>> {
        let mut piece = Vec::new();
        let mut bytes = 0_usize;
        while let Some(request) = self.rest.pop_front() {
            let request = self.cut(request);
            let estimate = self.estimate(&request);
            if !piece.is_empty() && bytes.saturating_add(estimate) > self.most_bytes {
                self.rest.push_front(request);
                break;
            }
            bytes = bytes.saturating_add(estimate);
            piece.push(request);
        }
        (!piece.is_empty()).then_some(piece)
    }
}
