//! Cuts a request into parts of a given size, in one pass and with a limit on repeated bytes.
//!
//! Both parts of a cut need the resource, scope and metric of the surrounding items. If these heads are as large as the parts,
//! cutting would multiply the request.

use super::Request;
use crate::protobuf::{Writer, fields, varint_len};
use crate::view::count;

#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// A part is larger only if it cannot be cut.
    pub(crate) max_bytes: usize,
    /// Items below heads of at least this total size stay together.
    pub(crate) max_head_bytes: usize,
    /// Creates as many parts as repeated halving would: a delivery limits the number of halvings and relies on equal parts.
    pub(crate) halves: bool,
}

/// Cuts `request` between items, in order, into few parts of similar size. Containers without items are dropped.
///
/// With `max_head_bytes` at half of `max_bytes`, the parts together have at most three times the bytes of the request: two
/// neighbouring parts have more than half a `max_bytes` of their own, and a cut repeats less.
pub(crate) fn split(request: &Request, sizes: Sizes) -> Vec<Request> {
    let Sizes { max_bytes, max_head_bytes, halves } = sizes;
    let head_bytes = largest_heads(request);
    let levels = request.kind().path_to_items().len() - 1;
    let around_bytes = head_bytes + levels * frame_bytes(max_bytes);
    let wanted_bytes = if head_bytes < max_head_bytes && around_bytes < max_bytes {
        let own_bytes = request.bytes().len().saturating_sub(around_bytes);
        let parts = own_bytes.div_ceil(max_bytes - around_bytes).max(1);
        around_bytes + own_bytes / if halves { parts.next_power_of_two() } else { parts }
    } else {
        max_bytes
    };
    Cutter::new(request, sizes, wanted_bytes).cut()
}

/// Cuts `request` into parts with these numbers of items, of which none is 0, and one with the rest. A request with fewer items has
/// fewer parts.
pub(crate) fn split_into(request: &Request, items: Vec<usize>) -> Vec<Request> {
    const ANY: usize = usize::MAX;
    let sizes = Sizes { max_bytes: ANY, max_head_bytes: ANY, halves: false };
    let mut cutter = Cutter { next_items: items.into_iter(), ..Cutter::new(request, sizes, ANY) };
    cutter.items_left = cutter.next_items.next().unwrap_or(ANY);
    cutter.cut()
}

/// Size of the largest heads that a cut between two items of `request` would repeat.
pub(crate) fn largest_heads(request: &Request) -> usize {
    largest(request.bytes(), request.kind().path_to_items())
}

fn largest(message: &[u8], path: &[&[u32]]) -> usize {
    let Some((children, deeper)) = path.split_first() else { return 0 };
    let mut own = 0;
    let mut below = 0;
    for field in fields(message) {
        match field.as_len().filter(|_| children.contains(&field.number)) {
            Some(inner) => below = below.max(largest(inner, deeper)),
            None => own += field.raw.len(),
        }
    }
    own + below
}

/// Bytes of a message's tag and length; tags on the way to items have one byte.
fn frame_bytes(message_bytes: usize) -> usize {
    1 + varint_len(message_bytes as u64)
}

struct Cutter<'r> {
    sizes: Sizes,
    /// A part takes the next child if that brings it nearer to this size.
    wanted_bytes: usize,
    /// The messages from the request down to the one whose children are added.
    levels: Vec<SplitLevel>,
    /// Number of items in the current part.
    items: usize,
    /// Number of items that the current part may still take.
    items_left: usize,
    /// Numbers of items of the parts after the current one.
    next_items: std::vec::IntoIter<usize>,
    parts: Vec<Request>,
    request: &'r Request,
}

/// A message on the way to the items, in the current part.
#[derive(Default)]
struct SplitLevel {
    /// Its field number in the message above.
    number: u32,
    /// The fields needed in every part.
    head: Vec<u8>,
    /// The children in the current part.
    children: Vec<u8>,
}

impl<'r> Cutter<'r> {
    fn new(request: &'r Request, sizes: Sizes, wanted_bytes: usize) -> Self {
        Self {
            sizes,
            wanted_bytes,
            levels: vec![SplitLevel::default()],
            items: 0,
            items_left: usize::MAX,
            next_items: Vec::new().into_iter(),
            parts: Vec::new(),
            request,
        }
    }

    fn cut(mut self) -> Vec<Request> {
        self.container(self.request.bytes(), self.request.kind().path_to_items());
        self.finish_part();
        self.parts
    }

    /// Adds the content of a message on the last level that does not fit as a whole.
    fn container(&mut self, message: &[u8], path: &[&[u32]]) {
        let Some((children, deeper)) = path.split_first() else { return };
        let is_child = |number: u32| children.contains(&number);
        if let Some(level) = self.levels.last_mut() {
            for field in fields(message) {
                if field.as_len().is_none() || !is_child(field.number) {
                    level.head.extend_from_slice(field.raw);
                }
            }
        }
        let may_cut = self.levels.iter().map(|level| level.head.len()).sum::<usize>()
            < self.sizes.max_head_bytes.max(1);
        if !may_cut {
            self.finish_part();
        }
        for field in fields(message).filter(|field| is_child(field.number)) {
            let Some(inner) = field.as_len() else { continue };
            let items = count(inner, deeper);
            if items == 0 {
                continue;
            }
            let fits = items <= self.items_left && self.fits(field.raw.len());
            if fits || !may_cut {
                self.add(field.raw, items);
            } else if deeper.is_empty() {
                self.finish_part();
                self.add(field.raw, items);
            } else {
                self.levels.push(SplitLevel { number: field.number, ..SplitLevel::default() });
                self.container(inner, deeper);
                self.close_level();
            }
        }
    }

    fn add(&mut self, child: &[u8], items: usize) {
        if let Some(level) = self.levels.last_mut() {
            level.children.extend_from_slice(child);
            self.items += items;
            self.items_left = self.items_left.saturating_sub(items);
        }
    }

    /// Returns `true` if the part may take a child of this size.
    fn fits(&self, child_bytes: usize) -> bool {
        let mut part_bytes = child_bytes;
        for (depth, level) in self.levels.iter().enumerate().rev() {
            part_bytes += level.head.len() + level.children.len();
            if depth > 0 {
                part_bytes += frame_bytes(part_bytes);
            }
        }
        part_bytes <= self.sizes.max_bytes && part_bytes - child_bytes / 2 <= self.wanted_bytes
    }

    /// Moves the children of the last level into the one above.
    fn close_level(&mut self) {
        let Some(closed) = self.levels.pop() else { return };
        if let Some(above) = self.levels.last_mut() {
            above.add(&closed);
        }
    }

    /// Completes a part with all children so far; the levels stay open for the next.
    fn finish_part(&mut self) {
        let items = std::mem::take(&mut self.items);
        if items == 0 {
            return;
        }
        self.items_left = self.next_items.next().unwrap_or(usize::MAX);
        let mut below: Option<SplitLevel> = None;
        for level in self.levels.iter_mut().rev() {
            let mut part = SplitLevel {
                number: level.number,
                head: level.head.clone(),
                children: std::mem::take(&mut level.children),
            };
            if let Some(below) = below {
                part.add(&below);
            }
            below = Some(part);
        }
        let request = below.unwrap_or_default();
        let bytes = match request.head.as_slice() {
            [] => request.children,
            head => [head, &request.children].concat(),
        };
        self.parts.push(self.request.part(bytes, items));
    }
}

impl SplitLevel {
    /// Appends a child, unless it has no children of its own.
    fn add(&mut self, child: &Self) {
        if !child.children.is_empty() {
            let mut out = Writer::new(&mut self.children);
            out.concatenated(child.number, &child.head, &child.children);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::SignalKind;

    /// Spans of equal size below a head of this size.
    fn spans(head_bytes: usize, spans: usize) -> Request {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).message(1, |container| {
            container.string(3, &"x".repeat(head_bytes.saturating_sub(2)));
            container.message(2, |scope| {
                for _ in 0..spans {
                    scope.message(2, |span| span.string(5, "GET /orders"));
                }
            });
        });
        Request::trusted(SignalKind::Traces, bytes)
    }

    #[test]
    fn a_request_is_cut_into_parts_of_similar_size() {
        for (head_bytes, max_bytes, parts) in [
            (0, 306, &[20, 20][..]),
            (20, 326, &[20, 20]),
            (0, 34, &[2, 2, 2, 1]),
            // A part has room for 19.
            (0, 298, &[10, 10, 10, 9]),
        ] {
            let cut = spans(head_bytes, parts.iter().sum()).split_by_size(max_bytes);
            assert_eq!(cut.iter().map(Request::items).collect::<Vec<_>>(), parts, "{max_bytes}");
        }
    }
}
