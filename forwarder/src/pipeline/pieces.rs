//! Divides converted requests into pieces, which bounds the output of rules and adaptation. A line of a few kilobytes may contain
//! tens of thousands of items, and rules may add hundreds of bytes to each.

use crate::rules::Growth;
use std::collections::VecDeque;
use wire::{Request, SignalKind};

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::protobuf::Writer;

    fn logs(sizes: &[usize]) -> Request {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).message(1, |container| {
            container.message(2, |scope| {
                for size in sizes {
                    scope.message(2, |record| record.string(3, &"x".repeat(*size)));
                }
            });
        });
        Request::trusted(SignalKind::Logs, bytes)
    }

    proptest! {
        #[test]
        fn pieces_contain_all_items_and_stay_within_the_size_limit(
            sizes in prop::collection::vec(prop::collection::vec(1usize..300, 1..40), 0..6),
            item_bytes in 0usize..500,
            may_double in any::<bool>(),
        ) {
            let requests: Vec<Request> = sizes.iter().map(|sizes| logs(sizes)).collect();
            let items: usize = requests.iter().map(Request::items).sum();
            let growth = Growth { item_bytes, may_double };
            let mut found = 0;
            let pieces: Vec<_> = RequestPieces::new(requests, growth, 2000).collect();
            for piece in &pieces {
                let in_piece: usize = piece.iter().map(Request::items).sum();
                let bytes: usize = piece.iter().map(|request| request.bytes().len()).sum();
                let estimate = bytes * if may_double { 2 } else { 1 } + in_piece * item_bytes;
                prop_assert!(in_piece == 1 || estimate <= 2000, "{in_piece} items, {estimate}");
                found += in_piece;
            }
            prop_assert_eq!(found, items);
        }
    }
}
