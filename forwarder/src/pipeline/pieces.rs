//! The requests of a chunk in pieces, so that rules and adaptation need little memory.

use crate::rules::Growth;
use wire::{Pieces, Request, SignalKind};

/// An exponential data point becomes a histogram of about sixty buckets.
const POINT_GROWTH: usize = 1100;

/// Pieces of one or more requests.
pub(super) struct RequestPieces {
    requests: Pieces<Request>,
    growth: Growth,
    max_bytes: usize,
}

impl RequestPieces {
    /// Creates pieces of about `max_bytes` after each item has grown.
    pub(super) fn new(requests: Vec<Request>, growth: Growth, max_bytes: usize) -> Self {
        Self { requests: Pieces::new(requests), growth, max_bytes }
    }

    /// The estimated size of a request after rules and adaptation.
    fn estimate(&self, request: &Request) -> usize {
        let Growth { item_bytes, may_double } = self.growth;
        let by_adaptation = if request.kind() == SignalKind::Metrics { POINT_GROWTH } else { 0 };
        let growth_per_item = item_bytes.saturating_add(by_adaptation);
        let bytes = request.bytes().len() * if may_double { 2 } else { 1 };
        bytes.saturating_add(request.items().saturating_mul(growth_per_item))
    }
}

impl Iterator for RequestPieces {
    type Item = Vec<Request>;

    fn next(&mut self) -> Option<Vec<Request>> {
        let mut piece = Vec::new();
        let mut bytes = 0_usize;
        while let Some(mut request) = self.requests.take_next() {
            let estimate = self.estimate(&request);
            if estimate > self.max_bytes {
                match self.requests.halve(request) {
                    Ok(()) => continue,
                    Err(whole) => request = whole,
                }
            }
            if !piece.is_empty() && bytes.saturating_add(estimate) > self.max_bytes {
                self.requests.put_back(request);
                break;
            }
            bytes = bytes.saturating_add(estimate);
            piece.push(request);
        }
        (!piece.is_empty()).then_some(piece)
    }
}
