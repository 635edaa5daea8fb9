use super::*;
use crate::sanitize::tests::{attribute, gauge, logs, map, record};
use SignalKind::{Logs as Records, Metrics as Points, Traces as Spans};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use proptest::prelude::*;
use std::ops::Range;
use wire::Traces;
use wire::protobuf::Writer;

/// Attributes `key7`, `key8`, … with long values, so that no request is exempt because of its size.
fn keys(numbers: Range<usize>) -> Vec<KeyValue> {
    numbers.map(|n| attribute(&format!("key{n}"), &"x".repeat(40))).collect()
}

fn request(kind: SignalKind, attributes: Vec<KeyValue>, items: Vec<Vec<KeyValue>>) -> Request {
    crate::sanitize::tests::request(kind, Resource { attributes, ..Default::default() }, items)
}

/// Requests of several resources are one request.
fn joined(requests: impl IntoIterator<Item = Request>) -> Request {
    let bytes = requests.into_iter().flat_map(Request::into_bytes).collect();
    Request::trusted(Spans, bytes)
}

fn spans(resources: Vec<(Vec<KeyValue>, Vec<Vec<KeyValue>>)>) -> Request {
    joined(resources.into_iter().map(|(resource, items)| request(Spans, resource, items)))
}

/// Number of items of each piece, with room for this many columns in addition to the fixed ones.
#[track_caller]
fn check(request: Request, columns: usize, expected: &[usize]) {
    let fixed = match request.kind() {
        Spans => 18,
        Records => 9,
        Points => 14,
    };
    let pieces = split_by_columns(request, columns + fixed);
    assert_eq!(pieces.iter().map(Request::items).collect::<Vec<_>>(), expected);
}

#[test]
fn resource_columns_count_in_every_piece() {
    let items = || vec![keys(0..10), keys(10..20), keys(20..30)];
    for kind in SignalKind::ALL {
        check(request(kind, keys(90..110), items()), 50, &[3]);
        check(request(kind, keys(90..110), items()), 49, &[2, 1]);
        // Spans store them with a prefix, records and data points without.
        let alike = request(kind, keys(0..10), vec![keys(0..10); 2]);
        if kind == Spans { check(alike, 19, &[1, 1]) } else { check(alike, 10, &[2]) }
    }
    let two = |second| spans(vec![(keys(0..5), items()), (second, items())]);
    check(two(keys(5..10)), 40, &[6]);
    check(two(keys(5..10)), 39, &[3, 3]);
    check(two(keys(0..5)), 35, &[6]);
    // A resource with too many columns itself is not repeated.
    let lost = (keys(0..50), vec![keys(0..10); 4]);
    let good = || (keys(0..5), vec![keys(0..10); 2]);
    check(spans(vec![good(), lost, good()]), 30, &[2, 4, 2]);
}

#[test]
fn resource_bytes_repeated_by_splitting_are_bounded() {
    let large = vec![attribute("large", &"x".repeat(MAX_REPEATED_BYTES / 3 - 99))];
    let items = (0..10).map(|n| keys(n * 10..n * 10 + 10)).collect();
    check(request(Spans, large, items), 15, &[1, 1, 1, 7]);
}

#[test]
fn columns_are_counted_per_metric_stream() {
    let named = |name, numbers| gauge(name, std::iter::once(keys(numbers)));
    let of = |metrics| Request::of_metrics(None, metrics);
    check(of(vec![named("a", 0..10), named("b", 10..20)]), 10, &[2]);
    check(of(vec![named("a", 0..10), named("A", 10..20)]), 10, &[1, 1]);
}

#[test]
fn columns_are_counted_in_openobserve_spelling() {
    // Ten more keys make a split necessary.
    let pair = |kind, pair: [KeyValue; 2]| {
        let items = pair.map(|attribute| [keys(0..10), vec![attribute]].concat());
        request(kind, vec![], items.to_vec())
    };
    let text = |key: &str| attribute(key, "x");
    check(pair(Records, [text("Http.Route"), text("http_route")]), 11, &[2]);
    check(pair(Records, [text("http.route"), text("httproute")]), 11, &[1, 1]);
    // Maps become columns down to the third level, and text below it.
    let one = |leaf: &str| map("m", vec![text(leaf)]);
    let two = |leaf: &str| map("m", vec![map("a", vec![text(leaf)])]);
    let three = |leaf: &str| map("m", vec![map("a", vec![map("b", vec![text(leaf)])])]);
    check(pair(Records, ["x", "y"].map(one)), 11, &[1, 1]);
    check(pair(Records, ["x", "y"].map(two)), 11, &[1, 1]);
    check(pair(Records, ["x", "y"].map(three)), 11, &[2]);
    check(pair(Records, [one("x"), text("m.x")]), 11, &[2]);
    // Spans store maps as columns too.
    check(pair(Spans, ["x", "y"].map(one)), 11, &[1, 1]);
    check(pair(Spans, ["x", "y"].map(one)), 12, &[2]);
    // A map as a body.
    let body = |numbers| LogRecord { body: map("", keys(numbers)).value, ..record() };
    check(logs(None, vec![body(0..10), body(10..20)]), 19, &[1, 1]);
}

/// A set for each metric would need gigabytes for a line of a few kilobytes.
#[test]
fn the_columns_of_a_resource_are_kept_once_for_all_metrics() {
    const KEYS: usize = 500;
    const METRICS: usize = 300;
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(1, |resource| {
            (0..KEYS).for_each(|n| resource.text_attribute(1, &format!("r{n}"), "x"));
        });
        container.message(2, |scope| {
            for number in 0..METRICS {
                scope.message(2, |metric| {
                    metric.string(1, &format!("m{number}"));
                    metric.message(5, |gauge| {
                        gauge.message(1, |point| point.text_attribute(7, "k", "x"));
                    });
                });
            }
        });
    });
    let request = Request::counted(SignalKind::Metrics, bytes, METRICS);
    let mut splitter = Splitter { max_columns: 900, ..Splitter::default() };
    splitter.visit_request(&request);
    assert_eq!((splitter.items, splitter.sizes.len()), (METRICS, 0));
    let own: usize = splitter.own.values().map(HashSet::len).sum();
    assert_eq!((splitter.shared.len(), own), (KEYS, METRICS));
}

proptest! {
    /// Nothing is lost or reordered, only pieces with a single item exceed the limit, and each piece is as long as possible.
    #[test]
    fn pieces_preserve_all_items_within_the_column_limit(
        resources in prop::collection::vec(
            (0usize..20, prop::collection::vec((0usize..60, 0usize..15), 0..8)),
            0..5,
        ),
        columns in 1usize..60,
    ) {
        let of_resource = |(width, items): (usize, Vec<(usize, usize)>)| {
            let items = items.into_iter().map(|(first, len)| keys(first..first + len));
            (keys(0..width), items.collect())
        };
        let request = spans(resources.into_iter().map(of_resource).collect());
        let pieces = split_by_columns(request.clone(), columns + 18);
        let flat = |request: &Request| -> Vec<(Vec<KeyValue>, Vec<KeyValue>)> {
            let decoded = request.decode::<Traces>().unwrap().unwrap();
            let spans = |container: ResourceSpans| {
                let resource = container.resource.unwrap_or_default().attributes;
                let spans = container.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.map(|span| (resource.clone(), span.attributes)).collect::<Vec<_>>()
            };
            decoded.resource_spans.into_iter().flat_map(spans).collect()
        };
        let all = flat(&request);
        prop_assert_eq!(&pieces.iter().flat_map(flat).collect::<Vec<_>>(), &all);
        let width = |items: &[(Vec<KeyValue>, Vec<KeyValue>)]| {
            let names = items.iter().flat_map(|(resource, own)| {
                let resource = resource.iter().map(|attribute| format!("service_{}", attribute.key));
                resource.chain(own.iter().map(|attribute| attribute.key.clone()))
            });
            names.collect::<HashSet<_>>().len()
        };
        let mut at = 0;
        for piece in &pieces {
            let own = &all[at..at + piece.items()];
            let next = all.get(at..=at + piece.items());
            let has_wide_resource = own.iter().any(|(resource, _)| resource.len() > columns);
            prop_assert!(width(own) <= columns || own.len() == 1 || has_wide_resource);
            prop_assert!(next.is_none_or(|longer| width(longer) > columns));
            at += piece.items();
        }
    }
}
