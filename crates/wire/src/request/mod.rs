//! One encoded `Export…ServiceRequest`: checked once, then counted, split and joined as bytes.
//!
//! This needs no decoding: concatenated requests are one request, and the three signals have the same structure down to their
//! items ([`SignalKind::path_to_items`]).

mod canonical;
mod check;
#[cfg(feature = "decode")]
mod invocation_spans;
mod merge;
mod pieces;
#[cfg(feature = "decode")]
mod reserved;
pub(crate) mod split;
mod truncate;
mod utf8;

pub use check::{Limits, Malformed};
#[cfg(feature = "decode")]
pub use invocation_spans::{
    FUNCTION_SCOPES, LIBRARY_SCOPE, PLATFORM_SCOPE, RootWriter, SpanError, SpanIds,
};
pub use merge::merge;
pub use pieces::{Halve, MAX_REPEATED_BYTES, Pieces};
pub use truncate::{Shortened, TRUNCATED, shortened_text};

use crate::field::{container, request, span};
use crate::protobuf::Reader;
use crate::signal::SignalKind;
#[cfg(feature = "decode")]
use crate::signal::{Logs, Metrics, Signal, Traces};
use crate::view;
use canonical::to_canonical;
#[cfg(feature = "decode")]
pub(crate) use check::may_be_reserved;
use check::{Checked, check, is_canonical};
#[cfg(feature = "decode")]
use opentelemetry_proto::tonic::{
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Metric, ResourceMetrics, ScopeMetrics},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use split::Sizes;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// One encoded `Export…ServiceRequest` with a checked structure, in its canonical form:
///
/// - A field that has one value stands once in its message, and of a `oneof` one member.
/// - Each resource and each scope has an item.
/// - The first byte of a value tells its type: fields unknown to us are behind it.
///
/// So a reader may take the first field of a number, and the borrowed parts of [`view`](crate::view) are whole.
#[derive(Clone)]
pub struct Request {
    kind: SignalKind,
    bytes: Vec<u8>,
    items: usize,
    columns: Option<Arc<ColumnFacts>>,
    /// `false` if a check found no reserved name, or none was made.
    may_have_reserved_names: bool,
}

/// Facts about the columns that the items of a request have in a backend.
#[derive(Debug, Default)]
pub struct ColumnFacts {
    /// `true` if all items have few different attribute keys in total; keys within maps were not counted.
    pub has_few_keys: bool,
    /// The shapes of all items: those with one shape have the same columns. `None` if they are unknown or too many.
    pub shapes: Option<Vec<u64>>,
    /// Number of the items that the facts are about.
    pub items: usize,
}

/// The bytes of a request that a reader put together, before their check.
#[cfg(feature = "decode")]
pub(crate) struct UncheckedRequest {
    pub(crate) kind: SignalKind,
    pub(crate) bytes: Vec<u8>,
}

#[cfg(feature = "decode")]
impl UncheckedRequest {
    pub(crate) fn check_all(all: Vec<Self>, limits: &Limits) -> Result<Vec<Request>, Malformed> {
        all.into_iter().map(|Self { kind, bytes }| Request::check(kind, bytes, limits)).collect()
    }
}

impl PartialEq for Request {
    /// Requests with the same bytes are equal, whatever facts are noted.
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.bytes == other.bytes
    }
}

impl Eq for Request {}

impl fmt::Debug for Request {
    /// Shows sizes only, because the content belongs to a customer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({}, {} items, {} bytes)", self.kind, self.items, self.bytes.len())
    }
}

impl Request {
    /// Bytes that count toward [`Limits::inflated_bytes`] for each request of a line, in addition to its own, so that the limit also bounds
    /// requests without bytes.
    pub(crate) const BYTES_BESIDE: usize = 256;

    /// Checks that `bytes` are a request of this signal, as strictly as any protobuf reader.
    ///
    /// Unknown fields are allowed, and stay. Copies the bytes only if they aren't in the canonical form.
    pub fn check(kind: SignalKind, bytes: Vec<u8>, limits: &Limits) -> Result<Self, Malformed> {
        let checked = check(kind, &bytes, limits)?;
        Ok(Self::checked(kind, bytes, checked))
    }

    /// Like [`check`](Self::check), but replaces invalid UTF-8 in strings with U+FFFD. protobufjs 7, used by older OpenTelemetry
    /// exporters for JavaScript, encodes half a surrogate pair as three invalid bytes. Text cut within an emoji contains one.
    pub fn check_repairing(
        kind: SignalKind,
        bytes: Vec<u8>,
        limits: &Limits,
    ) -> Result<Self, Malformed> {
        match check(kind, &bytes, limits) {
            Err(error @ Malformed::NotUtf8 { .. }) => {
                let repaired = utf8::repaired(kind, &bytes, limits).ok_or(error)?;
                Self::check(kind, repaired, limits)
            }
            checked => Ok(Self::checked(kind, bytes, checked?)),
        }
    }

    /// Detects the signal of bytes from their structure. `named` only decides between signals that fit equally: requests without
    /// items, or items with few fields.
    ///
    /// A request that exceeds a limit as the first signal is refused: as another signal, its items may be unknown fields, which are
    /// not counted.
    pub(crate) fn check_any(
        named: Option<SignalKind>,
        bytes: Vec<u8>,
        limits: &Limits,
    ) -> Result<Self, Malformed> {
        let first = named.unwrap_or(SignalKind::Traces);
        let error = match check(first, &bytes, limits) {
            Ok(checked) => return Ok(Self::checked(first, bytes, checked)),
            Err(error) if error.is_about_limit() => return Err(error),
            Err(error) => error,
        };
        for kind in SignalKind::ALL.into_iter().filter(|kind| *kind != first) {
            let checked = check(kind, &bytes, limits).unwrap_or_default();
            if checked.items > 0 {
                return Ok(Self::checked(kind, bytes, checked));
            }
        }
        match named {
            Some(kind) => Self::check_repairing(kind, bytes, limits),
            None => Err(error),
        }
    }

    fn checked(kind: SignalKind, bytes: Vec<u8>, checked: Checked) -> Self {
        let Checked { items, is_canonical, may_have_reserved_names } = checked;
        let request = if is_canonical {
            Self::counted(kind, bytes, items)
        } else {
            Self::trusted(kind, to_canonical(kind, &bytes))
        };
        Self { may_have_reserved_names, ..request }
    }

    /// Wraps bytes just written by our own encoder, in the canonical form.
    pub fn trusted(kind: SignalKind, bytes: Vec<u8>) -> Self {
        let items = view::count(&bytes, kind.path_to_items());
        Self::counted(kind, bytes, items)
    }

    /// Wraps bytes with items counted during assembly.
    pub fn counted(kind: SignalKind, bytes: Vec<u8>, items: usize) -> Self {
        debug_assert!(is_canonical(kind, &bytes), "a field is repeated, or a container is empty");
        Self { kind, bytes, items, columns: None, may_have_reserved_names: false }
    }

    /// Wraps bytes that no program of ours writes, for tests of what becomes of them in a line.
    #[doc(hidden)]
    pub fn unchecked(kind: SignalKind, bytes: Vec<u8>) -> Self {
        let items = view::count(&bytes, kind.path_to_items());
        Self { kind, bytes, items, columns: None, may_have_reserved_names: false }
    }

    /// Notes facts about this request, or about more items than it has.
    #[must_use]
    pub fn with_column_facts(self, facts: Arc<ColumnFacts>) -> Self {
        Self { columns: Some(facts), ..self }
    }

    /// The facts about this request or a larger one it was cut from, if they were noted.
    pub fn column_facts(&self) -> Option<&ColumnFacts> {
        self.columns.as_deref()
    }

    #[cfg(feature = "decode")]
    pub fn encode<S: crate::Signal>(request: &S::Request) -> Self {
        let bytes = prost::Message::encode_to_vec(request);
        let is_canonical = is_canonical(S::KIND, &bytes);
        Self::trusted(S::KIND, if is_canonical { bytes } else { to_canonical(S::KIND, &bytes) })
    }

    #[cfg(feature = "decode")]
    pub fn of_spans(resource: impl Into<Option<Resource>>, spans: Vec<Span>) -> Self {
        let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
        let container =
            ResourceSpans { resource: resource.into(), scope_spans, ..Default::default() };
        Self::encode::<Traces>(&Traces::request(vec![container]))
    }

    #[cfg(feature = "decode")]
    pub fn of_metrics(resource: impl Into<Option<Resource>>, metrics: Vec<Metric>) -> Self {
        let scope_metrics = vec![ScopeMetrics { metrics, ..Default::default() }];
        let container =
            ResourceMetrics { resource: resource.into(), scope_metrics, ..Default::default() };
        Self::encode::<Metrics>(&Metrics::request(vec![container]))
    }

    #[cfg(feature = "decode")]
    pub fn of_log_records(
        resource: impl Into<Option<Resource>>,
        log_records: Vec<LogRecord>,
    ) -> Self {
        let scope_logs = vec![ScopeLogs { log_records, ..Default::default() }];
        let container =
            ResourceLogs { resource: resource.into(), scope_logs, ..Default::default() };
        Self::encode::<Logs>(&Logs::request(vec![container]))
    }

    /// Decodes the request into structs; `None` if it is of another signal.
    #[cfg(feature = "decode")]
    pub fn decode<S: crate::Signal>(&self) -> Option<Result<S::Request, prost::DecodeError>> {
        (self.kind == S::KIND).then(|| prost::Message::decode(self.bytes.as_slice()))
    }

    pub fn kind(&self) -> SignalKind {
        self.kind
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Position in the bytes of the first resource's content, which a function's requests share; empty if the request begins
    /// otherwise.
    pub(crate) fn resource_place(&self) -> Range<usize> {
        let begins_with = |message, number| {
            let field = Reader::new(message).next()?.ok().filter(|field| field.number == number)?;
            let content = field.as_len()?;
            Some((field.raw.len() - content.len(), content))
        };
        let place = || {
            let (container_at, content) = begins_with(&self.bytes, request::CONTAINERS)?;
            let (resource_at, resource) = begins_with(content, container::RESOURCE)?;
            let start = container_at + resource_at;
            Some(start..start + resource.len())
        };
        place().unwrap_or_default()
    }

    /// Number of spans, data points or log records.
    pub fn items(&self) -> usize {
        self.items
    }

    /// The trace id of each span; none for other signals or invalid lengths.
    pub fn each_trace_id(&self, take: &mut dyn FnMut([u8; 16])) {
        if self.kind == SignalKind::Traces {
            for span in self.messages() {
                if let Ok(id) = <[u8; 16]>::try_from(view::message(span, span::TRACE_ID)) {
                    take(id);
                }
            }
        }
    }

    /// Splits after the first `items` items; both parts keep resource, scope and metric heads.
    /// Parts without items are empty requests.
    pub fn split_at(self, items: usize) -> (Self, Self) {
        let empty = self.part(Vec::new(), 0);
        if items == 0 || items >= self.items {
            return if items == 0 { (empty, self) } else { (self, empty) };
        }
        let mut parts = self.parts(&[items]).into_iter();
        (parts.next().unwrap_or_else(|| empty.clone()), parts.next().unwrap_or(empty))
    }

    /// Splits into parts with these numbers of items, and one with the rest. Parts for which no item is left are empty requests.
    pub fn parts(self, sizes: &[usize]) -> Vec<Self> {
        if sizes.is_empty() {
            return vec![self];
        }
        let items = sizes.iter().copied().filter(|items| *items > 0).collect();
        let mut parts = split::split_into(&self, items).into_iter();
        let mut next = |is_empty: bool| {
            let part = if is_empty { None } else { parts.next() };
            part.unwrap_or_else(|| self.part(Vec::new(), 0))
        };
        let mut all: Vec<Self> = sizes.iter().map(|items| next(*items == 0)).collect();
        all.push(next(false));
        all
    }

    /// Splits into parts of at most `max_bytes`. A single item may be larger, and so may a part whose resource, scope and metric
    /// heads have half of that size, because each cut would repeat them. All parts together have at most three times the bytes.
    pub fn split_by_size(self, max_bytes: usize) -> Vec<Self> {
        if self.bytes.len() <= max_bytes || self.items <= 1 {
            return vec![self];
        }
        let sizes = Sizes { max_bytes, max_head_bytes: max_bytes / 2, halves: true };
        split::split(&self, sizes)
    }

    /// A part just cut from this request.
    pub(crate) fn part(&self, bytes: Vec<u8>, items: usize) -> Self {
        let Self { kind, ref columns, may_have_reserved_names, .. } = *self;
        Self { kind, bytes, items, columns: columns.clone(), may_have_reserved_names }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_request_keep_its_column_facts() {
        let request =
            || Request::trusted(SignalKind::Traces, b"\x0a\x06\x12\x04\x12\0\x12\0".to_vec());
        let items_with_facts = |request: Request| {
            let (first, second) = request.split_at(1);
            assert_eq!([first.items(), second.items()], [1, 1]);
            [first, second].map(|part| part.column_facts().map(|facts| facts.items))
        };
        assert_eq!(items_with_facts(request()), [None, None]);
        let facts = Arc::new(ColumnFacts { items: 2, ..ColumnFacts::default() });
        assert_eq!(items_with_facts(request().with_column_facts(facts)), [Some(2), Some(2)]);
    }

    #[test]
    fn the_debug_form_of_a_request_has_no_content() {
        let request = Request::trusted(SignalKind::Traces, b"\x0a\x06s3cret".to_vec());
        assert_eq!(format!("{request:?}"), "Request(traces, 0 items, 8 bytes)");
    }
}
