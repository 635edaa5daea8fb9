//! One encoded `Export…ServiceRequest`, checked once, then counted, split and joined as bytes.
//!
//! Protobuf needs no decoding for this: concatenated requests are one request, and the three
//! signals share one shape down to their items ([`SignalKind::path_to_items`]).

mod check;
#[cfg(feature = "decode")]
mod final_spans;
#[cfg(feature = "decode")]
mod invocation_spans;
mod items;
mod limits;
mod malformed;
mod merge;
#[cfg(feature = "decode")]
mod other_signal;
pub(crate) mod split;
pub(crate) mod truncate;

#[cfg(feature = "decode")]
pub use invocation_spans::InvocationSpan;
pub use limits::{EmbeddedLines, Limits};
pub use malformed::Malformed;
pub use merge::merge;

use crate::protobuf::Reader;
use crate::signal::SignalKind;
use check::count_checked;
use items::{count, each_item, split_message};
use split::Sizes;
use std::fmt;
#[cfg(feature = "encode")]
use std::ops::Range;

/// One encoded `Export…ServiceRequest` whose structure was checked.
#[derive(Clone)]
pub struct Request {
    kind: SignalKind,
    bytes: Vec<u8>,
    items: usize,
    /// See [`Request::has_few_keys`].
    few_keys: bool,
}

impl PartialEq for Request {
    /// Two requests of the same bytes are equal, whatever was noted of either.
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.bytes == other.bytes
    }
}

impl Eq for Request {}

impl fmt::Debug for Request {
    /// Sizes only: the content is a customer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({}, {} items, {} bytes)", self.kind, self.items, self.bytes.len())
    }
}

impl Request {
    /// Checks that `bytes` are a request of this signal as any protobuf reader would accept it.
    ///
    /// Unknown fields pass. Costs no allocation.
    pub fn check(kind: SignalKind, bytes: Vec<u8>, limits: &Limits) -> Result<Self, Malformed> {
        let items = count_checked(kind, &bytes, limits)?;
        Ok(Self::counted(kind, bytes, items))
    }

    /// Takes bytes whose signal is not known: it is the one whose structure they have. `named`
    /// decides only between signals that fit alike: requests without items, and items of few fields.
    ///
    /// A request that breaks a bound is not one of another signal, and none that fits has no items there: items of the first would
    /// be unknown fields, which nobody counts.
    #[cfg(feature = "decode")]
    pub(crate) fn check_any(
        named: Option<SignalKind>,
        bytes: Vec<u8>,
        limits: &Limits,
    ) -> Result<Self, Malformed> {
        let first = named.unwrap_or(SignalKind::Traces);
        let as_first = count_checked(first, &bytes, limits);
        let others = SignalKind::ALL.into_iter().filter(|kind| *kind != first);
        let (kind, items) = match as_first {
            Ok(items) => (first, items),
            Err(
                error @ (Malformed::TooDeep(_)
                | Malformed::TooManyItems { .. }
                | Malformed::TooManyMessages(_)),
            ) => return Err(error),
            Err(error) => others
                .map(|kind| (kind, count_checked(kind, &bytes, limits)))
                .find_map(|(kind, result)| Some((kind, result.ok().filter(|items| *items > 0)?)))
                .ok_or(error)?,
        };
        Ok(Self::counted(kind, bytes, items))
    }

    /// Takes bytes that our own encoder has just written.
    pub fn trusted(kind: SignalKind, bytes: Vec<u8>) -> Self {
        let items = count(&bytes, kind.path_to_items());
        Self::counted(kind, bytes, items)
    }

    /// Takes bytes whose items were counted while they were put together.
    pub fn counted(kind: SignalKind, bytes: Vec<u8>, items: usize) -> Self {
        Self { kind, bytes, items, few_keys: false }
    }

    /// Notes that all items were looked at and have few different attribute keys; keys within maps were not counted.
    #[must_use]
    pub fn with_few_keys(self) -> Self {
        Self { few_keys: true, ..self }
    }

    /// True if [`with_few_keys`](Self::with_few_keys) was noted of this request, or of one that it is a part of. False means that
    /// nobody counted, or that there are many.
    pub fn has_few_keys(&self) -> bool {
        self.few_keys
    }

    /// The same with every string and bytes value of an attribute or a body cut to `max_bytes`, strings with a mark that says how much
    /// was taken; and how many values that were.
    pub fn with_values_cut(&self, max_bytes: usize) -> (Self, usize) {
        truncate::truncate(self, max_bytes)
    }

    /// Encodes a request of structs.
    #[cfg(feature = "decode")]
    pub fn encode<S: crate::Signal>(request: &S::Request) -> Self {
        Self::trusted(S::KIND, prost::Message::encode_to_vec(request))
    }

    /// Decodes the request into structs; `None` if it is of another signal.
    #[cfg(feature = "decode")]
    pub fn decode<S: crate::Signal>(&self) -> Option<Result<S::Request, prost::DecodeError>> {
        (self.kind == S::KIND).then(|| prost::Message::decode(self.bytes.as_slice()))
    }

    /// The signal.
    pub fn kind(&self) -> SignalKind {
        self.kind
    }

    /// The protobuf bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The protobuf bytes, by value.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Where in the bytes the content of the first resource stands, which the requests of one function have in common; empty where
    /// the request does not begin with one.
    #[cfg(feature = "encode")]
    pub(crate) fn resource_place(&self) -> Range<usize> {
        const FIRST: u32 = 1;
        let begins_with = |message| {
            let field = Reader::new(message).next()?.ok().filter(|field| field.number == FIRST)?;
            let content = field.as_len()?;
            Some((field.raw.len() - content.len(), content))
        };
        let place = || {
            let (container_at, container) = begins_with(&self.bytes)?;
            let (resource_at, resource) = begins_with(container)?;
            let start = container_at + resource_at;
            Some(start..start + resource.len())
        };
        place().unwrap_or_default()
    }

    /// Number of spans, data points or log records.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Gives the trace id of each span; other signals have none, and ids of another length are none.
    pub fn each_trace_id(&self, take: &mut dyn FnMut([u8; 16])) {
        const TRACE_ID: u32 = 1;
        if self.kind == SignalKind::Traces {
            each_item(&self.bytes, self.kind.path_to_items(), &mut |span| {
                let fields = Reader::new(span).map_while(Result::ok);
                let ids = fields.filter(|field| field.number == TRACE_ID);
                let id = ids.filter_map(|field| field.as_len()).last();
                if let Some(Ok(id)) = id.map(<[u8; 16]>::try_from) {
                    take(id);
                }
            });
        }
    }

    /// Splits after the first `items` items; both parts keep resource, scope and metric heads.
    /// Parts without items are empty requests.
    pub fn split_at(self, items: usize) -> (Self, Self) {
        let path = self.kind.path_to_items();
        let mut left = items.min(self.items);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        split_message(&self.bytes, path, &mut left, &mut first, &mut second);
        let taken = items.min(self.items);
        (self.part(first, taken), self.part(second, self.items - taken))
    }

    /// Cuts into parts of at most `max_bytes`; a single item may be larger, and so may a part whose
    /// resource, scope and metric heads have half of that: its cuts would repeat them. All parts together
    /// have at most three times the bytes.
    pub fn split_by_size(self, max_bytes: usize) -> Vec<Self> {
        if self.bytes.len() <= max_bytes || self.items <= 1 {
            return vec![self];
        }
        let sizes = Sizes { max_bytes, max_head_bytes: max_bytes / 2, halves: true };
        split::split(&self, sizes)
    }

    /// A part of this request that was just cut out of it.
    pub(crate) fn part(&self, bytes: Vec<u8>, items: usize) -> Self {
        Self { kind: self.kind, bytes, items, few_keys: self.few_keys }
    }
}

#[cfg(all(test, feature = "encode"))]
mod tests {
    use super::*;
    use crate::protobuf::Writer;

    #[test]
    fn the_first_resource_is_found_where_a_request_begins_with_one() {
        let check = |write: &dyn Fn(&mut Writer<'_>), expected: &[u8]| {
            let mut bytes = Vec::new();
            write(&mut Writer::new(&mut bytes));
            let request = Request::trusted(SignalKind::Traces, bytes);
            assert_eq!(&request.bytes()[request.resource_place()], expected);
        };
        let resource = [b"\x0a\x03key".repeat(60), b"end".to_vec()].concat();
        let with = |writer: &mut Writer<'_>| {
            for _ in 0..2 {
                writer.message(1, |container| {
                    container.bytes(1, &resource);
                    container.message(2, |scope| scope.string(3, "schema"));
                });
            }
        };
        check(&with, &resource);
        check(&|writer| writer.message(1, |container| container.string(3, "schema")), b"");
        check(&|writer| writer.string(2, "unknown"), b"");
        check(&|_| (), b"");
    }
}
