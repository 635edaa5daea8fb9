//! Merges many requests into few: containers with equal resource and equal scope become one.
//!
//! Works on bytes, for all signals alike. Equality ignores the order of fields, because SDKs write resource attributes in random
//! order.

use super::Request;
use crate::field::container::{RESOURCE, SCOPES};
use crate::field::request::CONTAINERS;
use crate::field::scope_container::ITEMS;
use crate::protobuf::{self, Writer, fields, messages};
use crate::signal::SignalKind;
use std::collections::HashMap;

/// Merges requests of any signals into results of at most `max_bytes`, except for larger single items. Items keep their order
/// within a resource and scope; empty requests are dropped.
pub fn merge(requests: Vec<Request>, max_bytes: usize) -> Vec<Request> {
    let mut merged = Vec::new();
    let mut waiting = requests;
    waiting.retain(|request| request.items() > 0);
    for kind in SignalKind::ALL {
        let (mut of_kind, others): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|request| request.kind() == kind);
        waiting = others;
        let one = match of_kind.len() {
            0 => continue,
            1 => of_kind.pop(),
            _ => Some(merge_kind(kind, &of_kind)),
        };
        merged.extend(one.into_iter().flat_map(|request| request.split_by_size(max_bytes)));
    }
    merged
}

/// A request, resource or scope with its content.
struct MergeGroup<T> {
    /// All fields except the children, as first written.
    head: Vec<u8>,
    children: Vec<T>,
    /// Positions in `children` by the keys of their heads.
    index: HashMap<Vec<u8>, usize>,
    /// The child used last: most messages equal the previous one.
    last: usize,
}

type ScopeGroup<'i> = MergeGroup<&'i [u8]>;
type ResourceGroup<'i> = MergeGroup<ScopeGroup<'i>>;
type RequestGroup<'i> = MergeGroup<ResourceGroup<'i>>;

impl<T> MergeGroup<T> {
    fn new(head: Vec<u8>) -> Self {
        Self { head, children: Vec::new(), index: HashMap::new(), last: 0 }
    }
}

impl<T> MergeGroup<MergeGroup<T>> {
    /// Returns the child with the same head as `message`, created on demand.
    fn child(&mut self, message: &[u8], children: u32) -> &mut MergeGroup<T> {
        let last = self.children.get(self.last);
        if !last.is_some_and(|last| has_head(message, children, &last.head)) {
            let MessageHead { fields, key } = MessageHead::of(message, children);
            let next = self.children.len();
            self.last = *self.index.entry(key).or_insert(next);
            if self.last == next {
                self.children.push(MergeGroup::new(fields));
            }
        }
        #[expect(clippy::indexing_slicing, reason = "the index holds positions of children only")]
        &mut self.children[self.last]
    }
}

/// Maximum number of bytes of a container's tag and length. A request with at most this many bytes outside of one container has no
fn merge_kind(kind: SignalKind, requests: &[Request]) -> Request {
    let mut root: RequestGroup<'_> = MergeGroup::new(Vec::new());
    for request in requests {
        for container in request.containers() {
            let resource = root.child(container.bytes, SCOPES);
            for scope in messages(container.bytes, SCOPES) {
                let items = fields(scope).filter(|field| field.number == ITEMS);
                resource.child(scope, ITEMS).children.extend(items.map(|field| field.raw));
            }
        }
    }
    let mut bytes = Vec::with_capacity(requests.iter().map(|r| r.bytes().len()).sum());
    let mut out = Writer::new(&mut bytes);
    for resource in &root.children {
        // Lengths are computed first, so that no megabytes move to make room for a length.
        let scopes = resource.children.iter().map(|scope| {
            let items = scope.children.iter().map(|item| item.len()).sum::<usize>();
            (scope, scope.head.len() + items)
        });
        let scopes: Vec<_> = scopes.collect();
        let below = scopes.iter().map(|(_, len)| protobuf::len_of_delimited(SCOPES, *len));
        out.begin_message(CONTAINERS, resource.head.len() + below.sum::<usize>());
        out.raw(&resource.head);
        for (scope, len) in scopes {
            out.begin_message(SCOPES, len);
            out.raw(&scope.head);
            scope.children.iter().for_each(|item| out.raw(item));
        }
    }
    let items = requests.iter().map(Request::items).sum();
    Request::counted(kind, bytes, items)
}

/// Returns `true` if `head` is `message` without its children, unchanged.
fn has_head(message: &[u8], children: u32, head: &[u8]) -> bool {
    let mut left = head;
    for field in fields(message).filter(|field| field.number != children) {
        let Some(after) = left.strip_prefix(field.raw) else { return false };
        left = after;
    }
    left.is_empty()
}

/// All fields of a message except its children.
struct MessageHead {
    /// The fields as they are.
    fields: Vec<u8>,
    /// The fields in a form that is equal for equal resources and scopes.
    key: Vec<u8>,
}

impl MessageHead {
    fn of(message: &[u8], children: u32) -> Self {
        let mut head = Self { fields: Vec::new(), key: Vec::new() };
        for field in fields(message).filter(|field| field.number != children) {
            head.fields.extend_from_slice(field.raw);
            // Field 1 is the resource or scope, whose own fields may have any order.
            match field.as_len().filter(|_| field.number == RESOURCE) {
                Some(inner) => {
                    let mut parts: Vec<&[u8]> = fields(inner).map(|part| part.raw).collect();
                    parts.sort_unstable();
                    Writer::new(&mut head.key).always_bytes(field.number, &parts.concat());
                }
                None => head.key.extend_from_slice(field.raw),
            }
        }
        head
    }
}
