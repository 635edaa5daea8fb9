//! A request as borrowed parts: resources, scopes and items, without decoding the rest.
//!
//! A checked request has no unreadable field. In other bytes, a message ends before its first unreadable field.

use crate::field::{
    any_value, container, data_point, exponential_histogram_data_point, histogram_data_point,
    key_value, log_record, metric, request, resource, scope, scope_container, span,
};
use crate::protobuf::{Value, fields, messages, plain_attribute};
use crate::request::Request;
use crate::signal::SignalKind;

/// `ResourceSpans`, `ResourceMetrics` or `ResourceLogs`.
#[derive(Clone, Copy, Debug)]
pub struct Container<'r> {
    pub(crate) kind: SignalKind,
    pub(crate) bytes: &'r [u8],
}

/// `ScopeSpans`, `ScopeMetrics` or `ScopeLogs`.
#[derive(Clone, Copy, Debug)]
pub struct ScopeContainer<'r> {
    pub(crate) kind: SignalKind,
    pub(crate) bytes: &'r [u8],
}

/// A span, a log record or a data point.
#[derive(Clone, Copy, Debug)]
pub struct Item<'r> {
    pub kind: ItemKind,
    pub bytes: &'r [u8],
    /// The name of a data point's metric. Kept here, because a metric may have many data points, and many fields before its name.
    pub(crate) metric_name: &'r [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    Span,
    LogRecord,
    /// `NumberDataPoint`, of gauges and sums.
    NumberDataPoint,
    HistogramDataPoint,
    ExponentialHistogramDataPoint,
    SummaryDataPoint,
}

/// The resources of an encoded request of this signal, with their items.
pub fn containers(kind: SignalKind, request: &[u8]) -> impl Iterator<Item = Container<'_>> {
    messages(request, request::CONTAINERS).map(move |bytes| Container { kind, bytes })
}

impl Request {
    pub fn containers(&self) -> impl Iterator<Item = Container<'_>> {
        containers(self.kind(), self.bytes())
    }

    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.containers().flat_map(Container::scopes).flat_map(ScopeContainer::messages)
    }
}

impl<'r> Container<'r> {
    /// An encoded resource of this signal with its items.
    pub const fn new(kind: SignalKind, bytes: &'r [u8]) -> Self {
        Self { kind, bytes }
    }

    /// The encoded resource.
    pub fn resource(self) -> &'r [u8] {
        message(self.bytes, container::RESOURCE)
    }

    pub fn attributes(self) -> impl Iterator<Item = &'r [u8]> {
        messages(self.resource(), resource::ATTRIBUTES)
    }

    pub fn scopes(self) -> impl Iterator<Item = ScopeContainer<'r>> {
        let scopes = messages(self.bytes, container::SCOPES);
        scopes.map(move |bytes| ScopeContainer { kind: self.kind, bytes })
    }

    /// Number of bytes of all fields but the scopes, which each part of a divided request repeats.
    pub fn head_bytes(self) -> usize {
        head_bytes(self.bytes, &[container::SCOPES])
    }

    pub fn count(self) -> usize {
        count(self.bytes, self.kind.path_to_items().get(1..).unwrap_or_default())
    }
}

impl<'r> ScopeContainer<'r> {
    /// An encoded scope of this signal with its items.
    pub const fn new(kind: SignalKind, bytes: &'r [u8]) -> Self {
        Self { kind, bytes }
    }

    /// The encoded scope.
    pub fn scope(self) -> &'r [u8] {
        message(self.bytes, scope_container::SCOPE)
    }

    /// The scope's name, or an empty text.
    pub fn name(self) -> &'r [u8] {
        message(self.scope(), scope::NAME)
    }

    pub fn messages(self) -> impl Iterator<Item = &'r [u8]> {
        messages(self.bytes, scope_container::ITEMS)
    }

    /// Number of bytes of all fields but the items.
    pub fn head_bytes(self) -> usize {
        head_bytes(self.bytes, &[scope_container::ITEMS])
    }

    pub fn count(self) -> usize {
        count(self.bytes, self.kind.path_to_items().get(2..).unwrap_or_default())
    }

    pub fn items(self) -> impl Iterator<Item = Item<'r>> {
        self.messages().flat_map(move |bytes| {
            let kind = ItemKind::of_signal(self.kind);
            let own = kind.map(|kind| Item::new(kind, bytes));
            let points = if own.is_none() { bytes } else { &[] };
            own.into_iter().chain(data_points(points))
        })
    }
}

/// Counts the items of an encoded request as it was written, which may repeat what has one value.
pub fn count_written_items(kind: SignalKind, request: &[u8]) -> usize {
    count(request, kind.path_to_items())
}

/// Counts the items below a message.
pub(crate) fn count(message: &[u8], path: &[&[u32]]) -> usize {
    let Some((level, deeper)) = path.split_first() else { return 1 };
    let inner = fields(message).filter(|field| level.contains(&field.number));
    inner.filter_map(|field| field.as_len()).map(|inner| count(inner, deeper)).sum()
}

pub fn data_points(metric: &[u8]) -> impl Iterator<Item = Item<'_>> {
    let metric_name = metric_name(metric);
    fields(metric).flat_map(move |field| {
        let kind = ItemKind::of_data(field.number);
        let data = kind.zip(field.as_len());
        data.into_iter().flat_map(move |(kind, data)| {
            let points = messages(data, metric::POINTS);
            points.map(move |bytes| Item { kind, bytes, metric_name })
        })
    })
}

pub fn metric_name(metric: &[u8]) -> &[u8] {
    message(metric, metric::NAME)
}

/// Number of bytes of all fields of an encoded metric but its data points.
pub fn metric_head_bytes(metric: &[u8]) -> usize {
    head_bytes(metric, metric::DATA)
}

impl ItemKind {
    /// The type of the items of a signal; `None` for metrics.
    pub const fn of_signal(kind: SignalKind) -> Option<Self> {
        match kind {
            SignalKind::Traces => Some(Self::Span),
            SignalKind::Logs => Some(Self::LogRecord),
            SignalKind::Metrics => None,
        }
    }

    /// The type of the data points in this field of a metric.
    pub(crate) const fn of_data(number: u32) -> Option<Self> {
        match number {
            metric::GAUGE | metric::SUM => Some(Self::NumberDataPoint),
            metric::HISTOGRAM => Some(Self::HistogramDataPoint),
            metric::EXPONENTIAL_HISTOGRAM => Some(Self::ExponentialHistogramDataPoint),
            metric::SUMMARY => Some(Self::SummaryDataPoint),
            _ => None,
        }
    }

    pub const fn attributes(self) -> u32 {
        match self {
            Self::Span => span::ATTRIBUTES,
            Self::LogRecord => log_record::ATTRIBUTES,
            Self::NumberDataPoint | Self::SummaryDataPoint => data_point::ATTRIBUTES,
            Self::HistogramDataPoint => histogram_data_point::ATTRIBUTES,
            Self::ExponentialHistogramDataPoint => exponential_histogram_data_point::ATTRIBUTES,
        }
    }
}

impl<'r> Item<'r> {
    /// The item in another encoding.
    #[must_use]
    pub const fn with_bytes(self, bytes: &'r [u8]) -> Self {
        Self { bytes, ..self }
    }

    /// An encoded item, not seen as a part of its metric.
    pub const fn new(kind: ItemKind, bytes: &'r [u8]) -> Self {
        Self { kind, bytes, metric_name: &[] }
    }

    pub fn attributes(self) -> impl Iterator<Item = &'r [u8]> {
        messages(self.bytes, self.kind.attributes())
    }

    /// Its time in nanoseconds since the Unix epoch: the start of a span, the time of a data point, and the time of a log record
    /// or, if that is 0, the observed time.
    pub fn time_unix_nano(self) -> u64 {
        let (time, other) = match self.kind {
            ItemKind::Span => (span::START_TIME, None),
            ItemKind::LogRecord => (log_record::TIME, Some(log_record::OBSERVED_TIME)),
            _ => (data_point::TIME, None),
        };
        match (fixed64(self.bytes, time), other) {
            (0, Some(other)) => fixed64(self.bytes, other),
            (time, _) => time,
        }
    }

    /// The name of a data point's metric; empty for other items.
    pub fn metric_name(self) -> &'r str {
        std::str::from_utf8(self.metric_name).unwrap_or_default()
    }
}

/// A `fixed64` field; 0 if it is absent.
pub fn fixed64(message: &[u8], number: u32) -> u64 {
    match fields(message).find(|field| field.number == number).map(|field| field.value) {
        Some(Value::Fixed64(value)) => value,
        _ => 0,
    }
}

/// A field with a message, a text or bytes; empty if it is absent.
pub fn message(message: &[u8], number: u32) -> &[u8] {
    messages(message, number).next().unwrap_or_default()
}

/// Key and encoded value of an attribute.
#[inline]
pub fn key_and_value(attribute: &[u8]) -> (&[u8], &[u8]) {
    match plain_attribute(attribute) {
        Some(plain) => plain,
        None => any_key_and_value(attribute),
    }
}

#[inline(never)]
fn any_key_and_value(attribute: &[u8]) -> (&[u8], &[u8]) {
    let mut key: &[u8] = &[];
    let mut value: &[u8] = &[];
    for field in fields(attribute) {
        match (field.number, field.as_len()) {
            (key_value::KEY, Some(bytes)) => key = bytes,
            (key_value::VALUE, Some(bytes)) => value = bytes,
            _ => {}
        }
    }
    (key, value)
}

/// The text of an encoded attribute, if it has this key.
pub fn text_attribute<'a>(attribute: &'a [u8], key: &str) -> Option<&'a str> {
    let (own, value) = key_and_value(attribute);
    if own == key.as_bytes() { text(value) } else { None }
}

pub fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(messages(value, any_value::STRING).next()?).ok()
}

/// Returns `false` if an encoded value is text, a number or a Boolean, as most are.
#[inline]
pub fn may_nest(value: &[u8]) -> bool {
    // The first byte has the number and the type of the value's field.
    !matches!(value, [] | [0x0a | 0x10 | 0x18 | 0x21, ..])
}

#[inline]
pub fn holds_map(value: &[u8]) -> bool {
    matches!(value, [0x32, ..])
}

/// The encoded entries of a value that is a map; none for other values.
pub fn map_entries(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    messages(message(value, any_value::KVLIST), any_value::VALUES)
}

fn head_bytes(message: &[u8], children: &[u32]) -> usize {
    let heads = fields(message).filter(|field| !children.contains(&field.number));
    heads.map(|field| field.raw.len()).sum()
}
