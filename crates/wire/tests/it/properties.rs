//! Properties of requests and lines over generated telemetry.

use lambda_otlp_wire::compact::Context;
use lambda_otlp_wire::edit::{Edit, Editor, Head};
use lambda_otlp_wire::view::{Container, Item};
use lambda_otlp_wire::{
    Envelope, Joined, Limits, LineEncoder, LineLimits, MARKER, Metrics, Rejoin, Request, Signal,
    SignalKind, Traces, merge, read_line,
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

fn data_points(points_per_metric: &[u8]) -> Request {
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

/// Every span by its name, with its resource and scope.
fn places(requests: &[Request]) -> BTreeMap<String, (String, String)> {
    let mut places = BTreeMap::new();
    for request in requests {
        for container in request.decode::<Traces>().unwrap().unwrap().resource_spans {
            let mut names: Vec<_> = container
                .resource
                .iter()
                .flat_map(|resource| &resource.attributes)
                .map(|attribute| format!("{attribute:?}"))
                .collect();
            names.sort();
            for scope in container.scope_spans {
                for span in scope.spans {
                    let place = (names.join(","), scope.scope.clone().unwrap_or_default().name);
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

fn points(requests: &[Request]) -> Vec<(String, i64)> {
    let mut points = Vec::new();
    for request in requests {
        for container in request.decode::<Metrics>().unwrap().unwrap().resource_metrics {
            for metric in container.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                let data = match metric.data.unwrap() {
                    metric::Data::Gauge(gauge) => gauge.data_points,
                    metric::Data::Sum(sum) => {
                        assert!(sum.is_monotonic && sum.aggregation_temporality == 1);
                        sum.data_points
                    }
                    _ => unreachable!("only gauges and sums are made"),
                };
                for point in data {
                    let Some(number_data_point::Value::AsInt(value)) = point.value else {
                        panic!()
                    };
                    points.push((metric.name.clone(), value));
                }
            }
        }
    }
    points
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
        for request in [spans(&shape, &mut 0), data_points(&metrics)] {
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
            let attributes = resource.attributes.iter().map(|attribute| format!("{attribute:?}"));
            let mut attributes: Vec<String> = attributes.collect();
            attributes.sort();
            expected.values_mut().for_each(|place| place.0 = attributes.join(","));
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
    fn split_by_size_respects_the_size_unless_an_item_is_larger(shape in shape(), max in 1..2000usize) {
        let request = spans(&shape, &mut 0);
        let before = places(std::slice::from_ref(&request));
        let parts = request.split_by_size(max);
        for part in &parts {
            // Resource and scope have less than 100 bytes here.
            prop_assert!(part.bytes().len() <= max || part.items() <= 1 || max <= 200);
        }
        prop_assert_eq!(places(&parts), before);
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
    fn merging_keeps_every_item_once_and_in_place(
        shapes in prop::collection::vec(shape(), 0..5),
        max in 200..20_000usize,
    ) {
        let mut next = 0;
        let requests: Vec<_> = shapes.iter().map(|shape| spans(shape, &mut next)).collect();
        let before = places(&requests);
        let merged = merge(requests, max);
        prop_assert_eq!(places(&merged), before);
        prop_assert!(merged.iter().all(|request| request.items() > 0));
    }

    #[test]
    fn containers_without_items_are_dropped(shapes in prop::collection::vec(shape(), 2..4)) {
        let mut next = 0;
        let requests: Vec<_> = shapes.iter().map(|shape| spans(shape, &mut next)).collect();
        let mut results: Vec<_> =
            requests.iter().map(|request| request.clone().without_empty_containers()).collect();
        prop_assert_eq!(places(&results), places(&requests));
        // A request without others of its signal stays as it is.
        if requests.iter().filter(|request| request.items() > 0).count() > 1 {
            results.extend(merge(requests, usize::MAX));
        }
        for request in results {
            for container in request.decode::<Traces>().unwrap().unwrap().resource_spans {
                prop_assert!(container.scope_spans.iter().any(|scope| !scope.spans.is_empty()));
            }
        }
    }

    #[test]
    fn merging_combines_equal_resources_and_scopes(shapes in prop::collection::vec(shape(), 2..5)) {
        let mut next = 0;
        let requests: Vec<_> = shapes.iter().map(|shape| spans(shape, &mut next)).collect();
        if requests.iter().filter(|request| request.items() > 0).count() < 2 {
            return Ok(());
        }
        let merged = merge(requests, usize::MAX);
        prop_assert_eq!(merged.len(), 1);
        let containers = merged[0].decode::<Traces>().unwrap().unwrap().resource_spans;
        // Three resources exist; the order of their attributes is irrelevant.
        prop_assert!(containers.len() <= 3, "{}", containers.len());
        for container in &containers {
            prop_assert!(container.scope_spans.len() <= 3);
        }
    }

    #[test]
    fn encoded_lines_decode_to_the_same_request(shapes in prop::collection::vec(shape(), 1..3), level in 0..10u32) {
        let mut next = 0;
        let mut encoder = LineEncoder::new(level, LineLimits::default());
        for shape in &shapes {
            let request = spans(shape, &mut next);
            let mut out = Vec::new();
            let written = encoder.encode(&Envelope { source: "s\"é\n", ..Envelope::default() }, request.clone(), &mut out);
            prop_assert_eq!(written.items, request.items());
            if request.items() == 0 {
                prop_assert!(out.is_empty());
                continue;
            }
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(text.matches('\n').count(), 1);
            let reading = read_line(&text, &Limits::default()).unwrap();
            prop_assert_eq!(&reading.decoded[0], &request);
        }
    }

    #[test]
    fn a_wrapped_line_is_decoded_whole_and_in_pieces(
        shape in shape(),
        wrappings in prop::collection::vec(0..5usize, 0..4),
        prefix in 0..3usize,
        size in 1_000..3_000usize,
    ) {
        let request = spans(&shape, &mut 0);
        if request.items() == 0 {
            return Ok(());
        }
        let mut line = Vec::new();
        // Stored, so that there is a payload to cut.
        let written = LineEncoder::new(0, LineLimits::default()).encode(&Envelope::default(), request.clone(), &mut line);
        prop_assert_eq!(written.lines, 1);
        let line = String::from_utf8(line).unwrap().trim_end().to_owned();
        let wrapped = wrappings.iter().fold(line, |line, wrapping| match wrapping {
            0 => serde_json::json!({"level": "INFO", "message": line}).to_string(),
            1 => format!(r#"{{"timestamp":"x","message":{line},"requestId":"y"}}"#),
            2 => serde_json::json!({"time": "x", "type": "function", "record": format!("{line}\n")}).to_string(),
            3 => format!(r#"{{"time":"x","type":"function","record": {line}}}"#),
            _ => line,
        });
        let prefix = ["", "2026-09-21T14:13:20.123Z\tid\tINFO\t", "[INFO]\t2026-09-21T14:13:20.123Z\tid\t"][prefix];
        let text = format!("{prefix}{wrapped}");
        let reading = read_line(&text, &Limits::default()).unwrap();
        prop_assert!(reading.text.is_none() && reading.undecodable.is_empty(), "{:?}", reading);
        prop_assert_eq!(&reading.decoded[0], &request);
        let pieces: Vec<&str> = text.as_bytes().chunks(size).map(|piece| std::str::from_utf8(piece).unwrap()).collect();
        let [first, rest @ .., last] = pieces.as_slice() else { return Ok(()) };
        let first_reading = read_line(first, &Limits::default()).unwrap_or_default();
        // The first piece of a line must contain its marker and be cut in its payload.
        let (_, behind_key) = first.rsplit_once("payload").unwrap_or_default();
        let payload = behind_key.trim_start_matches(['\\', '"', ':', ' ']);
        let is_base64 = |character: char| character.is_ascii_alphanumeric() || "+/=".contains(character);
        let is_cut_in_payload = !payload.is_empty()
            && std::iter::once(&payload).chain(rest).all(|piece| piece.chars().all(is_base64));
        if !first.contains(MARKER) || !is_cut_in_payload {
            return Ok(());
        }
        let mut rejoin = Rejoin::default();
        prop_assert!(rejoin.begin(first, &first_reading), "{}", first);
        for piece in rest {
            prop_assert!(matches!(rejoin.go_on(piece, &Context::default(), &Limits::default()), Joined::More));
        }
        let Joined::Whole(whole) = rejoin.go_on(last, &Context::default(), &Limits::default()) else {
            return Err(TestCaseError::fail("not joined"));
        };
        prop_assert!(whole.text.is_none());
        prop_assert_eq!(&whole.decoded[0], &request);
    }

    #[test]
    fn small_line_limits_lose_no_items(shape in shape(), max_bytes in 500..3000usize) {
        let request = spans(&shape, &mut 0);
        let before = places(std::slice::from_ref(&request));
        let limits = LineLimits { max_bytes, ..LineLimits::default() };
        let mut out = Vec::new();
        let written = LineEncoder::new(6, limits).encode(&Envelope::default(), request, &mut out);
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

#[test]
fn resource_and_scope_values_are_truncated_before_item_values() {
    let large = || vec![attribute("large", Value::StringValue(noise(80_000)))];
    let resource = Resource { attributes: large(), ..Default::default() };
    let point = NumberDataPoint {
        attributes: vec![attribute("own", Value::StringValue(noise(20_000)))],
        value: Some(number_data_point::Value::AsInt(1)),
        ..Default::default()
    };
    let gauge = Gauge { data_points: vec![point.clone(); 6] };
    let metric = Metric { data: Some(metric::Data::Gauge(gauge)), ..Default::default() };
    let request = Request::of_metrics(resource, vec![metric]);
    let limits = LineLimits { max_bytes: 50_000, ..LineLimits::default() };
    let encode = |request: Request| {
        let mut out = Vec::new();
        let written = LineEncoder::new(6, limits).encode(&Envelope::default(), request, &mut out);
        assert_eq!((written.items, written.truncated_values, written.dropped_items), (6, 1, 0));
        out
    };
    let scope = InstrumentationScope { attributes: large(), ..Default::default() };
    let spans = vec![Span { name: noise(1_000), ..Default::default() }; 6];
    encode(Request::encode::<Traces>(&Traces::request(vec![ResourceSpans {
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }],
        ..Default::default()
    }])));
    let out = encode(request);
    for line in String::from_utf8(out).unwrap().lines() {
        let reading = read_line(line, &Limits::default()).unwrap();
        let metrics = reading.decoded[0].decode::<Metrics>().unwrap().unwrap();
        for of_resource in metrics.resource_metrics {
            let large = &of_resource.resource.unwrap().attributes[0];
            let Some(Value::StringValue(text)) = &large.value.as_ref().unwrap().value else {
                panic!("{large:?}")
            };
            assert_eq!(text.len(), 16 * 1024);
            for metric in of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                let Some(metric::Data::Gauge(gauge)) = metric.data else { panic!() };
                assert!(gauge.data_points.iter().all(|own| *own == point));
            }
        }
    }
}
