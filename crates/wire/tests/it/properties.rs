//! Properties of requests and lines over generated telemetry.

use lambda_otlp_wire::edit::{Edit, Editor, Head};
use lambda_otlp_wire::view::{Container, Item, data_points, metric_head_bytes};
use lambda_otlp_wire::{
    Envelope, Limits, LineEncoder, LineLimits, Request, Signal, SignalKind, Traces, merge,
    read_line,
};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn resource(name: u8, swap: bool) -> Resource {
    let mut attributes = vec![
        attribute("service.name", Value::StringValue(format!("service-{name}"))),
        attribute("cloud.provider", Value::StringValue("aws".into())),
    ];
    if swap {
        attributes.reverse();
    }
    Resource { attributes, ..Default::default() }
}

fn scope(name: u8) -> InstrumentationScope {
    InstrumentationScope { name: format!("scope-{name}"), ..Default::default() }
}

/// Shape of a request: resources, each with scopes, each with a number of items.
type Shape = Vec<(u8, bool, Vec<(u8, u8)>)>;

fn shape() -> impl Strategy<Value = Shape> {
    let scopes = prop::collection::vec((0..3u8, 0..6u8), 0..4);
    prop::collection::vec((0..3u8, any::<bool>(), scopes), 0..4)
}

/// Spans with unique names over `requests`; each name states the span's position.
fn spans(shape: &Shape, next: &mut u32) -> Request {
    let containers = shape.iter().map(|(name, swap, scopes)| ResourceSpans {
        resource: Some(resource(*name, *swap)),
        scope_spans: scopes
            .iter()
            .map(|(scope_name, items)| ScopeSpans {
                scope: Some(scope(*scope_name)),
                spans: (0..*items)
                    .map(|_| {
                        *next += 1;
                        Span {
                            name: format!("{name}/{scope_name}/{next}"),
                            trace_id: vec![1; 16],
                            span_id: vec![2; 8],
                            attributes: vec![attribute(
                                "list",
                                Value::ArrayValue(ArrayValue {
                                    values: vec![AnyValue { value: Some(Value::IntValue(-1)) }],
                                }),
                            )],
                            ..Default::default()
                        }
                    })
                    .collect(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    Request::encode::<Traces>(&Traces::request(containers.collect()))
}

fn metrics(points_per_metric: &[u8]) -> Request {
    let mut next = 0;
    let metrics = points_per_metric.iter().enumerate().map(|(index, points)| {
        let data_points = (0..*points)
            .map(|_| {
                next += 1;
                let value = Some(number_data_point::Value::AsInt(next));
                NumberDataPoint { value, ..Default::default() }
            })
            .collect();
        let data = if index % 2 == 0 {
            metric::Data::Gauge(Gauge { data_points })
        } else {
            metric::Data::Sum(Sum { data_points, aggregation_temporality: 1, is_monotonic: true })
        };
        Metric { name: format!("metric-{index}"), data: Some(data), ..Default::default() }
    });
    Request::of_metrics(resource(0, false), metrics.collect())
}

/// The attributes of a resource, in any order.
fn shown(resource: &Resource) -> String {
    let attributes = resource.attributes.iter().map(|attribute| format!("{attribute:?}"));
    let mut attributes: Vec<String> = attributes.collect();
    attributes.sort();
    attributes.join(",")
}

/// Every span by its name, with its resource and scope.
fn places(requests: &[Request]) -> BTreeMap<String, (String, String)> {
    let mut places = BTreeMap::new();
    for request in requests {
        for container in containers(request) {
            let resource = container.resource.unwrap_or_default();
            for scope in container.scope_spans {
                for span in scope.spans {
                    let place = (shown(&resource), scope.scope.clone().unwrap_or_default().name);
                    assert!(
                        places.insert(span.name.clone(), place).is_none(),
                        "{} twice",
                        span.name
                    );
                }
            }
        }
    }
    places
}

/// The data points with the name of their metric, and the size of its other fields.
fn points(requests: &[Request]) -> Vec<(String, usize, Vec<u8>)> {
    let metrics = requests.iter().flat_map(Request::messages);
    let points = metrics.flat_map(|metric| {
        let point = |point: Item<'_>| {
            let name = point.metric_name().to_owned();
            (name, metric_head_bytes(metric), point.bytes.to_vec())
        };
        data_points(metric).map(point).collect::<Vec<_>>()
    });
    points.collect()
}

fn containers(request: &Request) -> Vec<ResourceSpans> {
    request.decode::<Traces>().unwrap().unwrap().resource_spans
}

fn has_items(container: &ResourceSpans) -> bool {
    container.scope_spans.iter().any(|scope| !scope.spans.is_empty())
}

/// Drops some spans, and replaces all resources.
#[derive(Default)]
struct Choice {
    drops: VecDeque<bool>,
    resource: Option<Resource>,
}

impl Editor for Choice {
    fn resource(&mut self, _: Container<'_>) -> Head {
        Head::Visit(self.resource.as_ref().map(prost::Message::encode_to_vec))
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
            for parts in [parts, vec![first, second]] {
                if request.kind() == SignalKind::Traces {
                    prop_assert_eq!(places(&parts), places(std::slice::from_ref(&request)));
                } else {
                    prop_assert_eq!(points(&parts), points(std::slice::from_ref(&request)));
                }
            }
        }
    }

    /// What an editor keeps stays byte for byte, with unknown fields.
    #[test]
    fn an_edit_changes_only_what_its_editor_decides(
        shape in shape(),
        drops in prop::collection::vec(any::<bool>(), 0..40),
        has_new_heads: bool,
    ) {
        let mut bytes = b"\xfa\x01\x01x".to_vec();
        bytes.extend(spans(&shape, &mut 0).into_bytes());
        let request = Request::check(SignalKind::Traces, bytes, &Limits::default()).unwrap();
        let same = request.clone().edit(&mut Choice::default());
        prop_assert_eq!(same, Some(request.clone()));

        let mut expected = places(std::slice::from_ref(&request));
        let dropped = (1..).zip(&drops).filter(|(_, drop)| **drop).map(|(n, _)| format!("/{n}"));
        let dropped: Vec<String> = dropped.collect();
        expected.retain(|name, _| !dropped.iter().any(|end| name.ends_with(end)));
        let resource = has_new_heads.then(|| resource(9, false));
        if let Some(resource) = &resource {
            expected.values_mut().for_each(|place| place.0 = shown(resource));
        }
        let edited = request.clone().edit(&mut Choice { drops: drops.into(), resource });
        let is_gone = request.items() > 0 && expected.is_empty();
        prop_assert_eq!(edited.is_none(), is_gone);
        if let Some(edited) = edited {
            prop_assert_eq!(edited.items(), expected.len());
            prop_assert!(edited.bytes().starts_with(b"\xfa\x01\x01x"));
            prop_assert_eq!(places(&[edited]), expected);
        }
    }

    #[test]
    fn splitting_by_size_at_most_triples_the_bytes(
        containers in prop::collection::vec((0..1500usize, 0..1500usize, prop::collection::vec(0..800usize, 0..30)), 1..4),
        max in 1..4000usize,
    ) {
        let mut next = 0;
        let mut large_heads = false;
        let containers = containers.into_iter().map(|(resource_bytes, scope_bytes, names)| {
            large_heads |= resource_bytes + scope_bytes + 80 >= max / 2;
            let mut resource = resource(0, false);
            resource.attributes.push(attribute("x", Value::StringValue("x".repeat(resource_bytes))));
            let scope = InstrumentationScope { name: "x".repeat(scope_bytes), ..Default::default() };
            let spans = names.into_iter().map(|bytes| {
                next += 1;
                Span { name: format!("{next}{}", "x".repeat(bytes)), ..Default::default() }
            });
            ResourceSpans {
                resource: Some(resource),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans: spans.collect(), ..Default::default() }],
                ..Default::default()
            }
        });
        let request = Request::encode::<Traces>(&Traces::request(containers.collect()));
        let (bytes, before) = (request.bytes().len(), places(std::slice::from_ref(&request)));
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
        let mut next = 0;
        let requests: Vec<_> = shapes.iter().map(|shape| spans(shape, &mut next)).collect();
        let before = places(&requests);
        for request in &requests {
            let result = request.clone().without_empty_containers();
            prop_assert_eq!(places(std::slice::from_ref(&result)), places(std::slice::from_ref(request)));
            prop_assert!(containers(&result).iter().all(has_items));
        }
        let with_items = requests.iter().filter(|request| request.items() > 0).count();
        let merged = merge(requests.clone(), max);
        prop_assert_eq!(places(&merged), before.clone());
        prop_assert!(merged.iter().all(|request| request.items() > 0));
        let merged = merge(requests, usize::MAX);
        prop_assert_eq!(places(&merged), before);
        prop_assert!(merged.len() <= 1);
        // A request without others of its signal stays as it is.
        if with_items > 1 {
            let containers = containers(&merged[0]);
            // Three resources exist; the order of their attributes is irrelevant.
            prop_assert!(containers.len() <= 3, "{}", containers.len());
            prop_assert!(containers.iter().all(|of| of.scope_spans.len() <= 3 && has_items(of)));
        }
    }

    #[test]
    fn small_line_limits_lose_no_items(shape in shape(), max_bytes in 500..3000usize) {
        let request = spans(&shape, &mut 0);
        let before = places(std::slice::from_ref(&request));
        let limits = LineLimits { max_bytes, ..LineLimits::default() };
        let mut out = Vec::new();
        let envelope = Envelope { source: "s\"é\n", ..Envelope::default() };
        let written = LineEncoder::new(6, limits).encode(&envelope, request, &mut out);
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
fn only_values_longer_than_the_limit_are_truncated() {
    let text = |text: String| attribute("text", Value::StringValue(text));
    let bytes = |bytes: usize| attribute("bytes", Value::BytesValue(vec![7; bytes]));
    let request = |attributes: Vec<KeyValue>| {
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            name: "n".repeat(300),
            attributes,
            ..Default::default()
        };
        Request::of_spans(None, vec![span])
    };
    let (x, e) = ("x", "é");
    let long =
        [text(x.repeat(100)), text(x.repeat(101)), text(e.repeat(60)), bytes(100), bytes(101)];
    let truncated = [
        text(x.repeat(100)),
        text(format!("{}…[1 bytes truncated]", x.repeat(78))),
        // No character is cut in two.
        text(format!("{}…[20 bytes truncated]", e.repeat(38))),
        bytes(100),
        bytes(100),
    ];
    assert_eq!(request(long.into()).with_values_cut(100), (request(truncated.into()), 3));
}
