//! Splits requests that exceed OpenObserve's column limit.
//!
//! OpenObserve 0.60.5 and 0.92.2 refuse a request if the records of one stream have more than 1,000 distinct field names together
//! (`ZO_COLS_PER_RECORD_LIMIT`; OpenObserve Cloud allows 200): logs with a 200 and nothing written, traces and metrics with a
//! 400.

use super::fields::{
    CONTAINER, ITEM, MAP, MAP_ENTRY, RESOURCE, RESOURCE_ATTRIBUTE, SCOPE, fields, holds_map,
    key_and_value, may_nest,
};
use super::names;
use super::same_column::MOST_LEVELS;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use wire::protobuf::messages;
use wire::{Request, SignalKind};

/// A request with few keys has far fewer columns than this (`Survey::has_few_keys`).
const FEW_KEYS_ARE_BELOW: usize = 700;

/// Nested maps in logs become columns down to this depth, and a JSON string below it (`ZO_INGEST_FLATTEN_LEVEL`).
const FLATTEN_LEVELS: usize = 3;

/// An attribute with a column of its own takes more bytes than this, so a small request cannot have too many columns.
const LEAST_ATTRIBUTE_BYTES: usize = 4;

/// Maximum number of bytes of resources, scopes and metric names that splitting may repeat; the rest then stays one request. Only
/// adversarial requests with large resources and hundreds of attributes an item reach it.
const MOST_REPEATED_BYTES: usize = 16 << 20;

// Field numbers: opentelemetry-proto 1.x, `common/v1/common.proto` and the protos of the signals.
const SPAN_ATTRIBUTE: u32 = 9;
const LOG_BODY: u32 = 5;
const LOG_ATTRIBUTE: u32 = 6;
pub(super) const METRIC_NAME: u32 = 1;
const POINT: u32 = 1;

/// Splits a request, in order, into the fewest pieces with at most `max_columns` distinct columns of one stream.
///
/// A single item with more columns stays alone, so that its neighbours are accepted. A request with few keys costs one pass; one
/// known to have few keys, or of a few KiB, costs nothing.
pub(crate) fn split_by_columns(request: Request, max_columns: usize) -> Vec<Request> {
    let fixed = match request.kind() {
        SignalKind::Traces => &names::SPAN,
        SignalKind::Logs => &names::LOG_RECORD,
        SignalKind::Metrics => &names::DATA_POINT,
    };
    let max_columns = max_columns.saturating_sub(fixed.len());
    if (request.has_few_keys() && max_columns >= FEW_KEYS_ARE_BELOW)
        || request.bytes().len() / LEAST_ATTRIBUTE_BYTES <= max_columns
        || are_few(request.kind(), request.bytes(), max_columns)
    {
        return vec![request];
    }
    let mut splitter = Splitter::new(max_columns);
    splitter.scan(request.kind(), request.bytes());
    let mut pieces = Vec::with_capacity(splitter.sizes.len() + 1);
    split(request, &splitter.sizes, &mut pieces);
    pieces
}

/// Splits the request into pieces with these numbers of items, and one with the rest. Cutting in halves copies each byte once per
/// level instead of once per piece.
pub(super) fn split(request: Request, sizes: &[usize], pieces: &mut Vec<Request>) {
    let Some(middle) = sizes.len().checked_sub(1).map(|last| last / 2) else {
        return pieces.push(request);
    };
    let (left, right) = sizes.split_at(middle + 1);
    let (first, second) = request.split_at(left.iter().sum());
    split(first, sizes.get(..middle).unwrap_or_default(), pieces);
    split(second, right, pieces);
}

/// The parts shared by all items of one resource.
struct Container {
    index: usize,
    columns: Vec<u64>,
    /// Bytes of the resource and its schema URL, which each further piece repeats.
    head_bytes: usize,
}

/// Finds the split positions.
struct Splitter {
    max_columns: usize,
    hasher: RandomState,
    /// The number of items of each complete piece.
    sizes: Vec<usize>,
    items: usize,
    /// Hashes of the current piece's columns, by the hash of their stream.
    columns: HashMap<u64, HashSet<u64>>,
    /// The stream and container whose shared columns were added last.
    last_added: Option<(u64, usize)>,
    last_container: Option<usize>,
    repeated_bytes: usize,
}

impl Splitter {
    fn new(max_columns: usize) -> Self {
        Self {
            max_columns,
            hasher: RandomState::new(),
            sizes: Vec::new(),
            items: 0,
            columns: HashMap::new(),
            last_added: None,
            last_container: None,
            repeated_bytes: 0,
        }
    }

    /// Visits the items in the order in which [`Request::split_at`] counts them.
    fn scan(&mut self, kind: SignalKind, request: &[u8]) {
        let (mut name, mut own) = (Vec::new(), Vec::new());
        for (index, message) in messages(request, CONTAINER).enumerate() {
            let container = self.container(kind, index, message);
            for scope in messages(message, SCOPE) {
                let head_bytes = container.head_bytes + head_bytes(scope, &[ITEM]);
                for item in messages(scope, ITEM) {
                    own.clear();
                    match kind {
                        SignalKind::Traces => {
                            self.flatten(item, SPAN_ATTRIBUTE, MOST_LEVELS, &mut name, &mut own);
                            self.place(0, &container, &own, head_bytes);
                        }
                        SignalKind::Logs => {
                            self.add_log_record(item, &mut own);
                            self.place(0, &container, &own, head_bytes);
                        }
                        SignalKind::Metrics => self.scan_metric(item, &container, head_bytes),
                    }
                }
            }
        }
    }

    fn container(&self, kind: SignalKind, index: usize, message: &[u8]) -> Container {
        let (mut name, levels) = match kind {
            SignalKind::Traces => (b"service_".to_vec(), MOST_LEVELS),
            SignalKind::Logs => (Vec::new(), FLATTEN_LEVELS),
            SignalKind::Metrics => (Vec::new(), MOST_LEVELS),
        };
        let mut columns = Vec::new();
        for resource in messages(message, RESOURCE) {
            self.flatten(resource, RESOURCE_ATTRIBUTE, levels, &mut name, &mut columns);
        }
        columns.sort_unstable();
        columns.dedup();
        // One column above the limit is enough.
        columns.truncate(self.max_columns.saturating_add(1));
        Container { index, columns, head_bytes: head_bytes(message, &[SCOPE]) }
    }

    fn add_log_record(&self, log_record: &[u8], own: &mut Vec<u64>) {
        self.flatten(log_record, LOG_ATTRIBUTE, FLATTEN_LEVELS, &mut Vec::new(), own);
        // The entries of a map body are columns: `body_level`, `body_msg`.
        for map in messages(log_record, LOG_BODY).flat_map(|body| messages(body, MAP)) {
            self.flatten(map, MAP_ENTRY, FLATTEN_LEVELS - 1, &mut b"body_".to_vec(), own);
        }
    }

    /// Visits a metric, a stream of its own with the columns of all its data points.
    fn scan_metric(&mut self, metric: &[u8], container: &Container, head_bytes: usize) {
        let name = messages(metric, METRIC_NAME).last().unwrap_or_default();
        // OpenObserve turns each run of other characters into one `_`; here they are skipped. Two streams confused thereby have
        // their columns added up, so the request is split earlier than necessary, never later.
        let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
        let stream = self.hasher.hash_one(letters.map(u8::to_ascii_lowercase).collect::<Vec<_>>());
        let head_bytes = head_bytes + self::head_bytes(metric, &DATA);
        for (point, attribute) in points(metric) {
            let mut own = Vec::new();
            self.flatten(point, attribute, MOST_LEVELS, &mut Vec::new(), &mut own);
            self.place(stream, container, &own, head_bytes);
        }
    }

    /// Visits the columns of the attributes in `message` under this field number, prefixed by `name`. Maps have a column for each
    /// entry while `levels` remain.
    fn flatten(
        &self,
        message: &[u8],
        number: u32,
        levels: usize,
        name: &mut Vec<u8>,
        columns: &mut Vec<u64>,
    ) {
        let prefix = name.len();
        for attribute in messages(message, number) {
            let (key, value) = key_and_value(attribute);
            name.extend(key.iter().map(|byte| normalised(*byte)));
            let map = if levels > 1 { messages(value, MAP).last() } else { None };
            if let Some(map) = map {
                name.push(b'_');
                self.flatten(map, MAP_ENTRY, levels - 1, name, columns);
            } else {
                columns.push(self.hasher.hash_one(name.as_slice()));
            }
            name.truncate(prefix);
        }
    }

    /// Adds the next item to the current piece, or starts a new one if it would have too many columns.
    fn place(&mut self, stream: u64, container: &Container, own: &[u64], head_bytes: usize) {
        let repeats = self.last_container == Some(container.index);
        self.last_container = Some(container.index);
        // If the resource alone has too many columns, a split does not help.
        let is_lost_anyway = repeats && container.columns.len() > self.max_columns;
        let repeated_bytes = self.repeated_bytes + if repeats { head_bytes } else { 0 };
        if !self.add(stream, container, own)
            && self.items > 0
            && !is_lost_anyway
            && repeated_bytes <= MOST_REPEATED_BYTES
        {
            self.repeated_bytes = repeated_bytes;
            self.sizes.push(std::mem::take(&mut self.items));
            self.columns.clear();
            self.last_added = None;
            self.add(stream, container, own);
        }
        self.items += 1;
    }

    /// Adds the columns of an item to its stream. Returns `false` above the limit.
    fn add(&mut self, stream: u64, container: &Container, own: &[u64]) -> bool {
        let columns = self.columns.entry(stream).or_default();
        if self.last_added.replace((stream, container.index)) != Some((stream, container.index)) {
            columns.extend(&container.columns);
        }
        columns.extend(own);
        columns.len() <= self.max_columns
    }
}

/// Fields of a metric that hold its data points.
pub(super) const DATA: [u32; 5] = [5, 7, 9, 10, 11];

/// The data points of a metric, each with the field number of its attributes.
pub(super) fn points(metric: &[u8]) -> impl Iterator<Item = (&[u8], u32)> {
    fields(metric).filter(|field| DATA.contains(&field.number)).flat_map(|field| {
        // Attributes are field 9 of a histogram's point, 1 of an exponential one's, and 7 of gauges, sums and summaries.
        let attribute = match field.number {
            9 => 9,
            10 => 1,
            _ => 7,
        };
        let points = field.as_len().into_iter().flat_map(|data| messages(data, POINT));
        points.map(move |point| (point, attribute))
    })
}

/// Returns a byte of a key as OpenObserve stores it: lower case, and `_` for everything but letters, digits and `_`. Non-ASCII
/// bytes stay unchanged, so two keys of one column may count as two, and the request is split earlier than necessary.
fn normalised(byte: u8) -> u8 {
    match byte.to_ascii_lowercase() {
        byte @ (b'a'..=b'z' | b'0'..=b'9' | 0x80..) => byte,
        _ => b'_',
    }
}

/// Number of bytes of all fields but these, which each piece of a split repeats.
fn head_bytes(message: &[u8], children: &[u32]) -> usize {
    let heads = fields(message).filter(|field| !children.contains(&field.number));
    heads.map(|field| field.raw.len()).sum()
}

/// Returns `true` if all items of a request together have at most `max_columns` different keys. `false` is inconclusive, because
/// maps have more columns than keys.
pub(super) fn are_few(kind: SignalKind, request: &[u8], max_columns: usize) -> bool {
    let mut keys =
        SeenKeys { recent: [&[]; RECENT], all: HashSet::from([[].as_slice()]), max_columns };
    // Resource attributes are added to the keys of items, which have other columns, and counted for each container: the sum may
    // be too large, but never too small.
    let mut columns_of_resources = 0;
    for container in messages(request, CONTAINER) {
        for resource in messages(container, RESOURCE) {
            columns_of_resources += messages(resource, RESOURCE_ATTRIBUTE).count();
            let is_map = |attribute| holds_map(key_and_value(attribute).1);
            if messages(resource, RESOURCE_ATTRIBUTE).any(is_map) {
                return false;
            }
        }
        keys.max_columns = max_columns.saturating_sub(columns_of_resources);
        let mut items = messages(container, SCOPE).flat_map(|scope| messages(scope, ITEM));
        if !items.all(|item| keys.take_item(kind, item)) {
            return false;
        }
    }
    keys.all.len() <= keys.max_columns
}

const RECENT: usize = 1024;

struct SeenKeys<'r> {
    /// The last key at each slot, chosen by its bytes. Most keys are found here without a search in `all`.
    recent: [&'r [u8]; RECENT],
    all: HashSet<&'r [u8]>,
    max_columns: usize,
}

impl<'r> SeenKeys<'r> {
    /// Adds the item's keys. Returns `false` after too many keys, or for a map, whose columns are unknown.
    fn take_item(&mut self, kind: SignalKind, item: &'r [u8]) -> bool {
        match kind {
            SignalKind::Traces => {
                messages(item, SPAN_ATTRIBUTE).all(|attribute| self.take_attribute(attribute))
            }
            SignalKind::Logs => fields(item).all(|field| match (field.number, field.as_len()) {
                (LOG_BODY, Some(body)) => !holds_map(body),
                (LOG_ATTRIBUTE, Some(attribute)) => self.take_attribute(attribute),
                _ => true,
            }),
            SignalKind::Metrics => points(item).all(|(point, attribute)| {
                messages(point, attribute).all(|attribute| self.take_attribute(attribute))
            }),
        }
    }

    #[inline]
    fn take_attribute(&mut self, attribute: &'r [u8]) -> bool {
        let (key, value) = key_and_value(attribute);
        !(may_nest(value) && holds_map(value)) && self.take(key)
    }

    #[inline]
    fn take(&mut self, key: &'r [u8]) -> bool {
        let Some(recent) = self.recent.get_mut(place(key)) else { return false };
        *recent == key || {
            *recent = key;
            self.add(key)
        }
    }

    #[inline(never)]
    fn add(&mut self, key: &'r [u8]) -> bool {
        self.all.insert(key);
        self.all.len() <= self.max_columns
    }
}

/// The slot of a key in `recent`. The keys of one program should use different slots, because keys in one slot keep replacing
/// each other.
#[inline]
fn place(key: &[u8]) -> usize {
    let (first, last) = match (key.first_chunk(), key.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (key.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
    };
    let word = first ^ last.rotate_left(29) ^ key.len() as u64;
    let mixed = word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - RECENT.ilog2());
    usize::try_from(mixed).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{
        AnyValue, KeyValue, KeyValueList, any_value::Value,
    };
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::{
        ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
        Metric, NumberDataPoint, Sum, Summary, SummaryDataPoint,
    };
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
    use proptest::prelude::*;
    use std::ops::Range;
    use wire::Traces;

    fn attribute(key: &str, value: Value) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..Default::default()
        }
    }

    fn map(values: Vec<KeyValue>) -> Value {
        Value::KvlistValue(KeyValueList { values })
    }

    /// Attributes `key7`, `key8`, … with long values, so that no request is exempt because of its size.
    fn keys(numbers: Range<usize>) -> Vec<KeyValue> {
        numbers.map(|n| attribute(&format!("key{n}"), Value::StringValue("x".repeat(40)))).collect()
    }

    fn traces(resources: Vec<(Vec<KeyValue>, Vec<Vec<KeyValue>>)>) -> Request {
        // Concatenated requests are one request.
        let one = |(attributes, items): (Vec<KeyValue>, Vec<Vec<KeyValue>>)| {
            let span = |attributes| Span { attributes, ..Default::default() };
            let resource = Resource { attributes, ..Default::default() };
            Request::of_spans(resource, items.into_iter().map(span).collect()).into_bytes()
        };
        Request::trusted(SignalKind::Traces, resources.into_iter().flat_map(one).collect())
    }

    fn logs(resource: Vec<KeyValue>, log_records: Vec<LogRecord>) -> Request {
        Request::of_log_records(
            Resource { attributes: resource, ..Default::default() },
            log_records,
        )
    }

    fn log_records(items: Vec<Vec<KeyValue>>) -> Vec<LogRecord> {
        items.into_iter().map(|attributes| LogRecord { attributes, ..Default::default() }).collect()
    }

    fn metrics(resource: Vec<KeyValue>, metrics: Vec<(&str, Data)>) -> Request {
        let metric = |(name, data): (&str, Data)| Metric {
            name: name.to_owned(),
            data: Some(data),
            ..Default::default()
        };
        let resource = Resource { attributes: resource, ..Default::default() };
        Request::of_metrics(resource, metrics.into_iter().map(metric).collect())
    }

    fn gauge(points: Vec<Vec<KeyValue>>) -> Data {
        let point = |attributes| NumberDataPoint { attributes, ..Default::default() };
        Data::Gauge(Gauge { data_points: points.into_iter().map(point).collect() })
    }

    /// Number of items of each piece, with room for this many columns beside the fixed ones.
    #[track_caller]
    fn check(request: Request, columns: usize, expected: &[usize]) {
        let fixed = match request.kind() {
            SignalKind::Traces => 18,
            SignalKind::Logs => 9,
            SignalKind::Metrics => 14,
        };
        let pieces = split_by_columns(request, columns + fixed);
        assert_eq!(pieces.iter().map(Request::items).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn items_share_a_request_up_to_the_column_limit() {
        let three = || vec![keys(0..10), keys(10..20), keys(20..30)];
        let spans = |items| traces(vec![(vec![], items)]);
        check(spans(three()), 30, &[3]);
        check(spans(three()), 29, &[2, 1]);
        check(spans(three()), 19, &[1, 1, 1]);
        check(spans(vec![keys(0..10); 5]), 10, &[5]);
        check(logs(vec![], log_records(three())), 29, &[2, 1]);
        check(metrics(vec![], vec![("queue", gauge(three()))]), 29, &[2, 1]);
        // An oversized item stays alone.
        check(spans(vec![keys(0..10), keys(0..50), keys(0..10), keys(5..15)]), 30, &[1, 1, 2]);
    }

    #[test]
    fn resource_columns_count_in_every_piece() {
        let items = || vec![keys(0..10), keys(10..20), keys(20..30)];
        check(traces(vec![(keys(90..110), items())]), 49, &[2, 1]);
        check(logs(keys(90..110), log_records(items())), 49, &[2, 1]);
        check(metrics(keys(90..110), vec![("queue", gauge(items()))]), 49, &[2, 1]);
        // Spans store them with a prefix, records and data points without.
        check(traces(vec![(keys(0..10), vec![keys(0..10); 2])]), 19, &[1, 1]);
        check(logs(keys(0..10), log_records(vec![keys(0..10); 2])), 10, &[2]);
        check(traces(vec![(keys(0..5), items()), (keys(5..10), items())]), 40, &[6]);
        check(traces(vec![(keys(0..5), items()), (keys(5..10), items())]), 39, &[3, 3]);
        check(traces(vec![(keys(0..5), items()), (keys(0..5), items())]), 35, &[6]);
    }

    #[test]
    fn an_oversized_resource_is_not_repeated() {
        let lost = || (keys(0..50), vec![keys(0..10); 4]);
        let good = || (keys(0..5), vec![keys(0..10); 2]);
        check(traces(vec![good(), lost(), good()]), 30, &[2, 4, 2]);
    }

    #[test]
    fn resource_bytes_repeated_by_splitting_are_bounded() {
        let large =
            vec![attribute("large", Value::StringValue("x".repeat(MOST_REPEATED_BYTES / 3 - 99)))];
        let items = (0..10).map(|n| keys(n * 10..n * 10 + 10)).collect();
        check(traces(vec![(large, items)]), 15, &[1, 1, 1, 7]);
    }

    #[test]
    fn columns_are_counted_per_metric_stream() {
        let point = |numbers| gauge(vec![keys(numbers)]);
        check(metrics(vec![], vec![("a", point(0..10)), ("b", point(10..20))]), 10, &[2]);
        check(metrics(vec![], vec![("a", point(0..10)), ("A", point(10..20))]), 10, &[1, 1]);
        let (first, second) = (keys(0..10), keys(10..20));
        let both = || [first.clone(), second.clone()].into_iter();
        let sum = both().map(|attributes| NumberDataPoint { attributes, ..Default::default() });
        let sum = Data::Sum(Sum { data_points: sum.collect(), ..Default::default() });
        check(metrics(vec![], vec![("a", sum)]), 19, &[1, 1]);
        let histogram =
            both().map(|attributes| HistogramDataPoint { attributes, ..Default::default() });
        let histogram =
            Data::Histogram(Histogram { data_points: histogram.collect(), ..Default::default() });
        check(metrics(vec![], vec![("a", histogram)]), 19, &[1, 1]);
        let exponential = both()
            .map(|attributes| ExponentialHistogramDataPoint { attributes, ..Default::default() });
        let exponential = Data::ExponentialHistogram(ExponentialHistogram {
            data_points: exponential.collect(),
            ..Default::default()
        });
        check(metrics(vec![], vec![("a", exponential)]), 19, &[1, 1]);
        let summary =
            both().map(|attributes| SummaryDataPoint { attributes, ..Default::default() });
        let summary = Data::Summary(Summary { data_points: summary.collect() });
        check(metrics(vec![], vec![("a", summary)]), 19, &[1, 1]);
    }

    #[test]
    fn columns_are_counted_in_openobserve_spelling() {
        let pair = |first: KeyValue, second: KeyValue| {
            // Ten more keys make a split necessary.
            let with = |attribute| [keys(0..10), vec![attribute]].concat();
            logs(vec![], log_records(vec![with(first), with(second)]))
        };
        let text = |key: &str| attribute(key, Value::BoolValue(true));
        check(pair(text("Http.Route"), text("http_route")), 11, &[2]);
        check(pair(text("http.route"), text("httproute")), 11, &[1, 1]);
        // Maps become columns down to the third level, and text below it.
        let level = |n: usize, inner: Value| {
            ["a", "b", "c", "d"][..n]
                .iter()
                .rev()
                .fold(inner, |value, key| map(vec![attribute(key, value)]))
        };
        let nested = |levels, leaf: &str| attribute("m", level(levels, map(vec![text(leaf)])));
        check(pair(nested(0, "x"), nested(0, "y")), 11, &[1, 1]);
        check(pair(nested(1, "x"), nested(1, "y")), 11, &[1, 1]);
        check(pair(nested(2, "x"), nested(2, "y")), 11, &[2]);
        check(pair(nested(0, "x"), text("m.x")), 11, &[2]);
        // Spans store maps as columns too.
        let span = |attribute| [keys(0..10), vec![attribute]].concat();
        let spans = vec![span(nested(0, "x")), span(nested(0, "y"))];
        check(traces(vec![(vec![], spans.clone())]), 11, &[1, 1]);
        check(traces(vec![(vec![], spans)]), 12, &[2]);
        // A map as a body.
        let body = |numbers| LogRecord {
            body: Some(AnyValue { value: Some(map(keys(numbers))) }),
            ..Default::default()
        };
        check(logs(vec![], vec![body(0..10), body(10..20)]), 19, &[1, 1]);
    }

    #[test]
    fn small_and_empty_requests_stay_whole() {
        check(logs(vec![], vec![]), 0, &[0]);
        check(traces(vec![(vec![], vec![keys(0..1)])]), 0, &[1]);
        let few = traces(vec![(vec![], vec![keys(0..10), keys(10..20)])]);
        assert_eq!(split_by_columns(few.clone(), 900), [few]);
    }

    #[test]
    fn a_thousand_pieces_keep_their_order() {
        let item = |n: usize| keys(n * 20..n * 20 + 20);
        let request = traces(vec![(keys(0..1), (0..1000).map(item).collect())]);
        let pieces = split_by_columns(request, 18 + 25);
        let found: Vec<Request> =
            (0..1000).map(|n| traces(vec![(keys(0..1), vec![item(n)])])).collect();
        assert!(pieces == found);
    }

    proptest! {
        /// Nothing is lost or reordered, and only pieces with a single item exceed the limit.
        #[test]
        fn pieces_preserve_all_items_within_the_column_limit(
            resources in proptest::collection::vec(
                (0usize..20, proptest::collection::vec((0usize..60, 0usize..15), 0..8)),
                0..5,
            ),
            columns in 1usize..60,
        ) {
            let items = |items: Vec<(usize, usize)>| {
                items.into_iter().map(|(first, len)| keys(first..first + len)).collect::<Vec<_>>()
            };
            let resources: Vec<_> =
                resources.into_iter().map(|(len, list)| (keys(0..len), items(list))).collect();
            let request = traces(resources);
            let pieces = split_by_columns(request.clone(), columns + 18);
            let flat = |request: &Request| -> Vec<(Vec<KeyValue>, Vec<KeyValue>)> {
                let decoded = request.decode::<Traces>().unwrap().unwrap();
                let spans = |container: ResourceSpans| {
                    let resource = container.resource.unwrap_or_default().attributes;
                    let scopes = container.scope_spans.into_iter();
                    let spans = scopes.flat_map(|scope| scope.spans);
                    spans.map(|span| (resource.clone(), span.attributes)).collect::<Vec<_>>()
                };
                decoded.resource_spans.into_iter().flat_map(spans).collect()
            };
            let all: Vec<_> = pieces.iter().flat_map(flat).collect();
            prop_assert_eq!(all, flat(&request));
            for piece in &pieces {
                prop_assert_eq!(piece.items(), flat(piece).len());
                let mut names = HashSet::new();
                let mut widest_resource = 0;
                for (resource, own) in flat(piece) {
                    widest_resource = widest_resource.max(resource.len());
                    names.extend(resource.iter().map(|attribute| format!("service_{}", attribute.key)));
                    names.extend(own.iter().map(|attribute| attribute.key.clone()));
                }
                prop_assert!(names.len() <= columns || piece.items() == 1 || widest_resource > columns);
            }
        }
    }

    #[test]
    fn the_key_count_check_detects_few_keys() {
        let check = |request: &Request, max: usize, expected: bool| {
            let found = super::are_few(request.kind(), request.bytes(), max);
            assert_eq!(found, expected, "{request:?} {max}");
        };
        // The limit keeps one column in reserve.
        let repeated = traces(vec![(keys(0..3), vec![keys(0..10); 500])]);
        check(&repeated, 14, true);
        check(&repeated, 12, false);
        check(&traces(vec![(vec![], (0..50).map(|n| keys(n..n + 1)).collect())]), 49, false);
        check(&traces(vec![(vec![], (0..50).map(|n| keys(n..n + 1)).collect())]), 51, true);
        // Keys in one slot.
        let alike = |n: usize| {
            vec![attribute(
                &format!("k{:03}k{:03}k", n, 999 - n),
                Value::StringValue("x".repeat(40)),
            )]
        };
        let alike = (0..100).chain(0..100).map(alike).collect();
        let alike = traces(vec![(vec![], alike)]);
        check(&alike, 101, true);
        check(&alike, 99, false);
        // Maps have more columns than keys.
        let flat = log_records(vec![keys(0..10); 500]);
        check(&logs(keys(0..3), flat.clone()), 14, true);
        let nested = vec![attribute("a", map(keys(0..2)))];
        check(&logs(nested.clone(), flat.clone()), 900, false);
        check(&logs(vec![], [flat, log_records(vec![nested])].concat()), 900, false);
        let body = AnyValue { value: Some(map(keys(0..2))) };
        let body = LogRecord { body: Some(body), ..Default::default() };
        check(&logs(vec![], vec![body]), 900, false);
    }
}
