//! The second stage: cuts converted requests into pieces, and applies the rules to a piece.

use crate::ledger::Ledger;
use crate::rules::{Applied, Growth, RuleSet};
use crate::source::Origin;
use std::collections::VecDeque;
use wire::{Request, SignalKind};

/// Applies the rules to a piece of the requests. The ledger has its items, and those that rules dropped.
pub(super) fn apply_rules(
    rules: &RuleSet,
    origin: &Origin,
    requests: Vec<Request>,
) -> (Applied, Ledger) {
    let mut ledger = Ledger::default();
    for request in &requests {
        ledger += Ledger::of_items(request.kind(), request.items());
    }
    if rules.is_empty() {
        return (Applied { requests, ..Applied::default() }, ledger);
    }
    let applied = rules.apply(origin, requests);
    ledger.dropped = applied.dropped();
    (applied, ledger)
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
