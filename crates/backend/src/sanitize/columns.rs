//! Splits requests that exceed OpenObserve's column limit.
//!
//! OpenObserve 0.60.5 and 0.92.2 refuse a request if the records of one stream have more than 1,000 distinct field names together
//! (`ZO_COLS_PER_RECORD_LIMIT`; OpenObserve Cloud allows 200): logs with a 200 and nothing written, traces and metrics with a
//! 400.

use super::names;
use super::same_column::{MOST_LEVELS, add_places, start};
use std::collections::{HashMap, HashSet};
use wire::field::log_record;
use wire::protobuf::messages;
use wire::view::{self, Item, ItemKind, data_points, key_and_value, map_entries, metric_name};
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
    {
        return vec![request];
    }
    let mut splitter = Splitter { max_columns, ..Splitter::default() };
    splitter.scan(&request);
    request.parts(&splitter.sizes)
}

/// The parts shared by all items of one resource.
struct Container {
    index: usize,
    columns: Vec<u64>,
}

/// Finds the split positions.
#[derive(Default)]
struct Splitter {
    max_columns: usize,
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
    /// Visits the items in the order in which [`Request::parts`] counts them.
    fn scan(&mut self, request: &Request) {
        for (index, container) in request.containers().enumerate() {
            let head_bytes = container.head_bytes();
            let shared = self.shared(request.kind(), index, container);
            for scope in container.scopes() {
                let head_bytes = head_bytes + scope.head_bytes();
                for message in scope.messages() {
                    match ItemKind::of_signal(request.kind()) {
                        Some(kind) => {
                            self.place(0, &shared, Item::new(kind, message), head_bytes);
                        }
                        None => self.scan_metric(message, &shared, head_bytes),
                    }
                }
            }
        }
    }

    fn shared(&self, kind: SignalKind, index: usize, container: view::Container<'_>) -> Container {
        let (prefix, levels) = match kind {
            SignalKind::Traces => ("service_", MOST_LEVELS),
            SignalKind::Logs => ("", FLATTEN_LEVELS),
            SignalKind::Metrics => ("", MOST_LEVELS),
        };
        let mut columns = columns_of(prefix, container.attributes(), levels);
        columns.sort_unstable();
        columns.dedup();
        // One column above the limit is enough.
        columns.truncate(self.max_columns.saturating_add(1));
        Container { index, columns }
    }

    /// Visits a metric, a stream of its own with the columns of all its data points.
    fn scan_metric(&mut self, metric: &[u8], container: &Container, head_bytes: usize) {
        // OpenObserve turns each run of other characters into one `_`; here they are skipped. Two streams confused thereby have
        // their columns added up, so the request is split earlier than necessary, never later.
        let letters = metric_name(metric).iter().filter(|byte| byte.is_ascii_alphanumeric());
        let name: String = letters.map(|byte| char::from(byte.to_ascii_lowercase())).collect();
        let (stream, _) = start(&name);
        let head_bytes = head_bytes + view::metric_head_bytes(metric);
        for point in data_points(metric) {
            self.place(stream, container, point, head_bytes);
        }
    }

    /// Adds the next item to the current piece, or starts a new one if it would have too many columns.
    fn place(&mut self, stream: u64, container: &Container, item: Item<'_>, head_bytes: usize) {
        let own = &columns_of_item(item);
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

fn columns_of_item(item: Item<'_>) -> Vec<u64> {
    if item.kind != ItemKind::LogRecord {
        return columns_of("", item.attributes(), MOST_LEVELS);
    }
    let mut columns = columns_of("", item.attributes(), FLATTEN_LEVELS);
    // The entries of a map body are columns: `body_level`, `body_msg`.
    for entries in messages(item.bytes, log_record::BODY).map(map_entries) {
        columns.extend(columns_of("body_", entries, FLATTEN_LEVELS - 1));
    }
    columns
}

/// The columns of these attributes with this prefix. Maps have a column for each entry while `levels` remain.
fn columns_of<'a>(
    prefix: &str,
    attributes: impl Iterator<Item = &'a [u8]>,
    levels: usize,
) -> Vec<u64> {
    let mut places = Vec::new();
    for (key, value) in attributes.map(key_and_value) {
        add_places(start(prefix), key, value, levels - 1, &mut places);
    }
    places.into_iter().map(|(column, _)| column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{
        AnyValue, KeyValue, KeyValueList, any_value::Value,
    };
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint};
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
        // Each kind of data has its attributes in another field.
        let point = |first: usize| {
            let keys = (first..first + 10).map(|n| {
                format!(r#"{{"key":"key{n}","value":{{"stringValue":"{}"}}}}"#, "x".repeat(40))
            });
            format!(r#"{{"attributes":[{}]}}"#, keys.collect::<Vec<_>>().join(","))
        };
        let points = [point(0), point(10)].join(",");
        for kind in ["gauge", "sum", "histogram", "exponentialHistogram", "summary"] {
            let json = format!(
                r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"a","{kind}":{{"dataPoints":[{points}]}}}}]}}]}}]}}"#
            );
            let request =
                Request::from_json(SignalKind::Metrics, json.as_bytes(), &wire::Limits::default());
            check(request.unwrap(), 19, &[1, 1]);
        }
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
            prop_assert_eq!(&all, &flat(&request));
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
            // Each piece is as long as possible.
            let mut at = 0;
            for piece in pieces.iter().take(pieces.len() - 1) {
                let with_next = all.iter().skip(at).take(piece.items() + 1);
                let names = with_next.flat_map(|(resource, own)| {
                    let resource = resource.iter().map(|attribute| format!("service_{}", attribute.key));
                    resource.chain(own.iter().map(|attribute| attribute.key.clone()))
                });
                prop_assert!(names.collect::<HashSet<_>>().len() > columns);
                at += piece.items();
            }
        }
    }
}
