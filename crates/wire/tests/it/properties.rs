//! Properties of requests and lines over generated telemetry.

use lambda_otlp_wire::compact::OwnedContext;
use lambda_otlp_wire::edit::{Edit, Editor, Head};
use lambda_otlp_wire::protobuf::{Writer, messages};
use lambda_otlp_wire::view::{Container, Item};
use lambda_otlp_wire::{
    Envelope, Limits, LineEncoder, LineLimits, Request, SignalKind, Traces, merge, read_line,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::Link};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::slice::from_ref;

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn resource(name: u8, swap: bool) -> Vec<u8> {
    let name = format!("service-{name}");
    let mut attributes = [("service.name", name.as_str()), ("cloud.provider", "aws")];
    if swap {
        attributes.reverse();
    }
    let mut resource = Vec::new();
    let mut out = Writer::new(&mut resource);
    for (key, text) in attributes {
        out.text_attribute(1, key, text);
    }
    resource
}

/// Shape of a request: resources, each with scopes, each with a number of items.
type Shape = Vec<(u8, bool, Vec<(u8, u8)>)>;

fn shape() -> impl Strategy<Value = Shape> {
    let scopes = prop::collection::vec((0..3u8, 0..6u8), 0..4);
    prop::collection::vec((0..3u8, any::<bool>(), scopes), 0..4)
}

/// Spans with unique names over `requests`.
fn spans(shape: &Shape, next: &mut u32) -> Request {
    let mut bytes = Vec::new();
    let mut out = Writer::new(&mut bytes);
    for (name, swap, scopes) in shape {
        out.message(1, |container| {
            container.bytes(1, &resource(*name, *swap));
            for (name, items) in scopes {
                container.message(2, |scope_spans| {
                    if *name > 0 {
                        scope_spans.message(1, |scope| scope.string(1, &format!("scope-{name}")));
                    }
                    for _ in 0..*items {
                        *next += 1;
                        scope_spans.message(2, |span| span.string(5, &format!("span-{next}")));
                    }
                });
            }
        });
    }
    Request::check(SignalKind::Traces, bytes, &Limits::default()).unwrap()
}

/// Gauges and sums with unique points.
fn metrics(points_per_metric: &[u8]) -> Request {
    let mut next = 0;
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.bytes(1, &resource(0, false));
        container.message(2, |scope_metrics| {
            for (index, points) in (0..).zip(points_per_metric) {
                scope_metrics.message(2, |metric| {
                    metric.string(1, &format!("metric-{index}"));
                    metric.message(if index % 2 == 0 { 5 } else { 7 }, |data| {
                        for _ in 0..*points {
                            next += 1;
                            data.message(1, |point| point.always_fixed64(6, next));
                        }
                    });
                });
            }
        });
    });
    Request::check(SignalKind::Metrics, bytes, &Limits::default()).unwrap()
}

/// An encoded resource's attributes, in any order.
fn attributes(resource: &[u8]) -> Vec<u8> {
    let mut attributes: Vec<&[u8]> = messages(resource, 1).collect();
    attributes.sort_unstable();
    attributes.concat()
}

/// An item with its surroundings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    resource_attributes: Vec<u8>,
    scope: Vec<u8>,
    metric_name: String,
    item: Vec<u8>,
}

fn places(requests: &[Request]) -> Vec<Place> {
    let mut places = Vec::new();
    for request in requests {
        let checked = Request::check(request.kind(), request.bytes().to_vec(), &Limits::default());
        assert_eq!(checked.unwrap().items(), request.items());
        for container in request.containers() {
            for scope in container.scopes() {
                let place = |item: Item<'_>| Place {
                    resource_attributes: attributes(container.resource()),
                    scope: scope.scope().into(),
                    metric_name: item.metric_name().to_owned(),
                    item: item.bytes.to_vec(),
                };
                places.extend(scope.items().map(place));
            }
        }
    }
    places
}

/// Drops some items, and replaces all resources.
#[derive(Default)]
struct Choice {
    drops: VecDeque<bool>,
    resource: Option<Vec<u8>>,
}

impl Editor for Choice {
    fn resource(&mut self, _: Container<'_>) -> Head {
        Head::Visit(self.resource.clone())
    }

    fn item(&mut self, _: Item<'_>) -> Edit {
        if self.drops.pop_front().unwrap_or_default() { Edit::Drop } else { Edit::Keep }
    }
}

proptest! {
    #[test]
    fn parts_have_the_wanted_items_in_order(
        shape in shape(),
        metrics in prop::collection::vec(0..5u8, 0..5),
        sizes in prop::collection::vec(0..9usize, 0..5),
    ) {
        for request in [spans(&shape, &mut 0), self::metrics(&metrics)] {
            let parts = request.clone().parts(&sizes);
            let mut left = request.items();
            for (part, size) in parts.iter().zip(sizes.iter().chain([&usize::MAX])) {
                prop_assert_eq!(part.items(), left.min(*size));
                left -= part.items();
            }
            prop_assert_eq!((left, parts.len()), (0, sizes.len() + 1));
            let at = sizes.first().copied().unwrap_or_default();
            let (first, second) = request.clone().split_at(at);
            prop_assert_eq!(first.items(), at.min(request.items()));
            prop_assert_eq!(places(&parts), places(from_ref(&request)));
            prop_assert_eq!(places(&[first, second]), places(from_ref(&request)));
        }
    }

    /// What an editor keeps stays byte for byte, with unknown fields.
    #[test]
    fn an_edit_changes_only_what_its_editor_decides(
        shape in shape(),
        metrics in prop::collection::vec(0..5u8, 0..5),
        drops in prop::collection::vec(any::<bool>(), 0..40),
        has_new_heads: bool,
    ) {
        let resource = has_new_heads.then(|| resource(9, false));
        for request in [spans(&shape, &mut 0), self::metrics(&metrics)] {
            let bytes = [b"\xfa\x01\x01x", request.bytes()].concat();
            let request = Request::check(request.kind(), bytes, &Limits::default()).unwrap();
            let same = request.clone().edit(&mut Choice::default());
            prop_assert_eq!(same, Some(request.clone()));

            let mut expected = places(from_ref(&request));
            let mut is_dropped = drops.iter();
            expected.retain(|_| !is_dropped.next().unwrap_or(&false));
            if let Some(resource) = &resource {
                for place in &mut expected {
                    place.resource_attributes = attributes(resource);
                }
            }
            let items = request.items();
            let mut choice = Choice { drops: drops.clone().into(), resource: resource.clone() };
            let edited = request.edit(&mut choice);
            prop_assert_eq!(edited.is_none(), items > 0 && expected.is_empty());
            if let Some(edited) = edited {
                prop_assert!(edited.bytes().starts_with(b"\xfa\x01\x01x"));
                prop_assert_eq!(places(&[edited]), expected);
            }
        }
    }

    #[test]
    fn splitting_by_size_at_most_triples_the_bytes(
        containers in prop::collection::vec((0..1500usize, 0..1500usize, prop::collection::vec(0..800usize, 0..30)), 1..4),
        max in 1..4000usize,
    ) {
        let mut bytes = Vec::new();
        let mut out = Writer::new(&mut bytes);
        let mut large_heads = false;
        for (resource_bytes, scope_bytes, names) in containers {
            large_heads |= resource_bytes + scope_bytes + 80 >= max / 2;
            out.message(1, |container| {
                container.message(1, |resource| resource.text_attribute(1, "x", &"x".repeat(resource_bytes)));
                container.message(2, |scope_spans| {
                    scope_spans.message(1, |scope| scope.string(1, &"x".repeat(scope_bytes)));
                    for (number, bytes) in (0..).zip(names) {
                        scope_spans.message(2, |span| {
                            span.fixed64(7, number);
                            span.string(5, &"x".repeat(bytes));
                        });
                    }
                });
            });
        }
        let request = Request::check(SignalKind::Traces, bytes, &Limits::default()).unwrap();
        let bytes = request.bytes().len();
        let before = places(from_ref(&request));
        let parts = request.split_by_size(max);
        for part in &parts {
            prop_assert!(part.bytes().len() <= max || part.items() <= 1 || large_heads);
        }
        let all: usize = parts.iter().map(|part| part.bytes().len()).sum();
        prop_assert!(all <= 3 * bytes, "{} bytes became {} in {} parts", bytes, all, parts.len());
        prop_assert_eq!(places(&parts), before);
    }

    #[test]
    fn merging_keeps_every_item_once_and_combines_equal_resources_and_scopes(
        shapes in prop::collection::vec(shape(), 0..5),
        max in 200..20_000usize,
    ) {
        let sorted = |requests: &[Request]| {
            let mut places = places(requests);
            places.sort_unstable();
            places
        };
        let mut next = 0;
        let requests: Vec<_> = shapes.iter().map(|shape| spans(shape, &mut next)).collect();
        let before = sorted(&requests);
        let with_items = requests.iter().filter(|request| request.items() > 0).count();
        let merged = merge(requests.clone(), max);
        prop_assert_eq!(sorted(&merged), before.clone());
        prop_assert!(merged.iter().all(|request| request.items() > 0));
        let in_one = merge(requests, usize::MAX);
        prop_assert_eq!(sorted(&in_one), before);
        prop_assert!(in_one.len() <= 1);
        // A request without others of its signal stays as it is.
        if with_items > 1 {
            // Three resources exist; the order of their attributes is irrelevant.
            prop_assert!(in_one[0].containers().count() <= 3);
            prop_assert!(in_one[0].containers().all(|of| of.scopes().count() <= 3));
        }
    }

    #[test]
    fn small_line_limits_lose_no_items(shape in shape(), max_bytes in 500..3000usize, is_compact: bool) {
        let request = spans(&shape, &mut 0);
        let before = places(from_ref(&request));
        let limits = LineLimits { max_bytes, ..LineLimits::default() };
        let mut out = Vec::new();
        let envelope = Envelope { source: "s\"é\n", ..Envelope::default() };
        let mut encoder = if is_compact {
            LineEncoder::compact(OwnedContext::default(), limits)
        } else {
            LineEncoder::new(6, limits)
        };
        let written = encoder.encode(&envelope, request, &mut out);
        let text = String::from_utf8(out).unwrap();
        let mut requests = Vec::new();
        for line in text.lines() {
            let mut reading = read_line(line, &Limits::default()).unwrap();
            let request = reading.decoded.remove(0);
            prop_assert!(line.len() < max_bytes || request.items() == 1);
            requests.push(request);
        }
        prop_assert_eq!(written.lines, requests.len());
        prop_assert_eq!(places(&requests), before);
    }
}

/// Printable and incompressible.
fn noise(bytes: usize) -> String {
    let mut state = 7u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + u8::try_from(state % 90).unwrap())
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

#[test]
fn an_oversized_item_is_truncated_minimally_and_counted() {
    let noise = noise(420_000);
    let span = |values: &[&str]| {
        let large =
            values.iter().map(|value| attribute("large", Value::StringValue((*value).into())));
        Span {
            name: "large".into(),
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            attributes: large.chain([attribute("small", Value::IntValue(1))]).collect(),
            ..Default::default()
        }
    };
    for (values, bytes) in [(1, 128 * 1024), (20, 4 * 1024), (80, 1024), (300, 256)] {
        let length = noise.len() / values;
        let large: Vec<&str> = noise
            .as_bytes()
            .chunks_exact(length)
            .map(|bytes| std::str::from_utf8(bytes).unwrap())
            .collect();
        let request = Request::of_spans(None, vec![span(&["short"]), span(&large)]);
        let mut out = Vec::new();
        let mut encoder = LineEncoder::new(6, LineLimits::default());
        let written = encoder.encode(&Envelope::default(), request, &mut out);
        assert_eq!((written.lines, written.items), (2, 2));
        assert_eq!((written.truncated_values, written.dropped_items), (values, 0));
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.len() < 250 * 1024));
        let last = read_line(text.lines().last().unwrap(), &Limits::default()).unwrap();
        let spans = last.decoded[0].decode::<Traces>().unwrap().unwrap();
        let span = &spans.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!(span.attributes.len(), values + 1);
        for attribute in &span.attributes[..values] {
            let Some(Value::StringValue(value)) = &attribute.value.as_ref().unwrap().value else {
                panic!("{attribute:?}")
            };
            assert_eq!(value.len(), bytes);
            assert!(value.ends_with("bytes truncated]"), "{value}");
        }
    }
}

#[test]
fn only_texts_longer_than_the_limit_are_shortened() {
    let text = |text: String| attribute("text", Value::StringValue(text));
    let bytes = |bytes: usize| attribute("bytes", Value::BytesValue(vec![7; bytes]));
    let request = |name: &str, attributes: Vec<KeyValue>| {
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            name: name.to_owned(),
            attributes,
            ..Default::default()
        };
        Request::of_spans(None, vec![span])
    };
    let large = 512 * 1024;
    let x = "x";
    let e = "é";
    let long = [
        text(x.repeat(large)),
        text(x.repeat(large + 1)),
        // No character is cut in two.
        text(e.repeat(large / 2 + 10)),
        bytes(large),
        bytes(large + 1),
    ];
    let mark = |bytes| format!("…[{bytes} bytes truncated]");
    let shortened = [
        text(x.repeat(large)),
        text(x.repeat(large - mark(1).len()) + &mark(1)),
        text(e.repeat((large - mark(20).len()) / 2) + &mark(20)),
        bytes(large),
        bytes(large),
        // Bytes cannot have a mark.
        attribute(lambda_otlp_wire::TRUNCATED, Value::BoolValue(true)),
    ];
    let name = "n".repeat(large + 7);
    let short_name = "n".repeat(large - mark(7).len()) + &mark(7);
    let first = request(&name, long.into()).shortened().next().unwrap();
    assert_eq!(first.parts, 4);
    assert_eq!(first.request, request(&short_name, shortened.into()));
}

#[test]
fn a_shortened_list_keeps_its_first_elements_and_counts_the_others() {
    let links = (0..40_000u64).map(|at| Link {
        trace_id: at.to_be_bytes().repeat(2),
        span_id: at.to_be_bytes().to_vec(),
        ..Default::default()
    });
    let links: Vec<Link> = links.collect();
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        links: links.clone(),
        dropped_links_count: 5,
        ..Default::default()
    };
    let request = Request::of_spans(None, vec![span]);
    for shortened in request.shortened() {
        let traces = shortened.request.decode::<Traces>().unwrap().unwrap();
        let span = &traces.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!(span.links, links[..span.links.len()]);
        assert_eq!(span.dropped_links_count as usize, 5 + links.len() - span.links.len());
        assert_eq!(shortened.parts, links.len() - span.links.len());
        assert_eq!(
            span.attributes,
            [attribute(lambda_otlp_wire::TRUNCATED, Value::BoolValue(true))]
        );
    }
    assert_eq!(request.shortened().count(), 5);
    assert!(request.shortened().last().unwrap().request.bytes().len() < 2000);
}
